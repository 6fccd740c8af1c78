//! Makes events durable in RabbitMQ.
