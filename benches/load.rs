//! Closed-loop load: every connection sends its next delivery when the last one was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Load {
    address: String,
    request: Vec<u8>,
    /// Where the delivery's id stands in the request.
    id_at: usize,
}

const ID: &str = "00000000-0000-4000-8000-000000000000";

impl Load {
    pub fn new(address: &str, path: &str, body: &[u8], signature: &str) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nuser-agent: GitHub-Hookshot/044aadd\r\n\
             x-github-event: push\r\nx-github-delivery: {ID}\r\nx-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let id_at = head.find(ID).expect("it is there");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        Self {
            address: address.to_owned(),
            request,
            id_at,
        }
    }

    /// Seconds it took. Every delivery must be answered 200.
    pub fn run(&self, connections: usize, deliveries: usize) -> f64 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let left = Arc::new(AtomicUsize::new(deliveries));
        runtime.block_on(async {
            let started = Instant::now();
            let tasks: Vec<_> = (0..connections)
                .map(|_| {
                    tokio::spawn(connection(
                        self.address.clone(),
                        self.request.clone(),
                        self.id_at,
                        left.clone(),
                    ))
                })
                .collect();
            for task in tasks {
                task.await.expect("a connection ends well");
            }
            started.elapsed().as_secs_f64()
        })
    }
}

static NEXT_ID: AtomicUsize = AtomicUsize::new(1);

async fn connection(address: String, mut request: Vec<u8>, id_at: usize, left: Arc<AtomicUsize>) {
    let mut stream = TcpStream::connect(&address).await.expect("the server listens");
    stream.set_nodelay(true).expect("nodelay");
    let mut buffer = vec![0; 4096];
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
        .is_ok()
    {
        let id = format!("{:012x}", NEXT_ID.fetch_add(1, Ordering::Relaxed));
        let at = id_at + ID.len() - 12;
        request[at..at + 12].copy_from_slice(id.as_bytes());
        stream.write_all(&request).await.expect("sent");
        let mut read = 0;
        loop {
            let n = stream.read(&mut buffer[read..]).await.expect("answered");
            assert!(n > 0, "the server closed the connection");
            read += n;
            if answered(&buffer[..read]) {
                break;
            }
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..read])
        );
    }
}

/// Answers of the servers here carry `content-length: 0`.
fn answered(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n\r\n")
}

/// The body of a page, asked with HTTP/1.0.
pub fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("answered");
    page
}

/// Without a queue that is bound, every publish would be unroutable.
pub fn bind_queue(url: &str, exchange: &str) {
    use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
    use lapin::types::FieldTable;
    use lapin::{Connection, ConnectionProperties, ExchangeKind};
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .expect("RabbitMQ answers");
        let channel = connection.create_channel().await.expect("a channel");
        // As the gateway declares it, which may not have come to it yet.
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default())
            .await
            .expect("declared");
        let arguments: FieldTable = {
            let mut table = FieldTable::default();
            // The queue keeps the last thousand: the benchmark is not about the broker's memory.
            table.insert("x-max-length".into(), lapin::types::AMQPValue::LongInt(1000));
            table
        };
        let options = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .queue_declare(exchange.into(), options, arguments)
            .await
            .expect("declared");
        let bound = channel
            .queue_bind(
                exchange.into(),
                exchange.into(),
                "#".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await;
        bound.expect("bound");
    });
}
