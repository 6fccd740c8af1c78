//! What an error of librdkafka means for the event: surely not stored, perhaps stored, or never storable.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::destination::PublishError;

/// What became of a message that librdkafka had taken.
pub(super) enum Verdict {
    Failed(PublishError),
    /// The broker refused the batch that the message was in; whose fault that was, the message alone will show.
    AskAlone(Code),
}

/// librdkafka did not take the message: it is surely nowhere.
pub(super) fn not_taken(error: &KafkaError, topic: &str) -> PublishError {
    let Some(code) = error.rdkafka_error_code() else {
        return PublishError::Down(format!("the client failed: {error}"));
    };
    match code {
        Code::MessageSizeTooLarge => PublishError::Message(format!(
            "larger than the producer takes for topic `{topic}` (property message.max.bytes)"
        )),
        Code::QueueFull => PublishError::Down("the producer's queue is full".into()),
        Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::TopicAuthorizationFailed
        | Code::InvalidTopic => lane(code, topic),
        // _FATAL, _DESTROY, _STATE and what else stops a producer as a whole.
        code => PublishError::Down(format!("the producer takes nothing: {code}")),
    }
}

/// The delivery report of a message that librdkafka had taken.
///
/// Only what a broker answers *before* it appends is a proof that nothing was stored. Everything else may hide a message
/// that was sent: a lost connection, a timeout, a purge, a fatal error, and every code that a later librdkafka may add.
pub(super) fn reported(code: Code, topic: &str) -> Verdict {
    match code {
        // One message too large or unfit makes the broker refuse all that shared its batch.
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord => Verdict::AskAlone(code),

        Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::NotEnoughReplicas
        | Code::InvalidRequiredAcks
        | Code::InvalidTimestamp
        | Code::InvalidMessage
        | Code::PolicyViolation
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType => Verdict::Failed(lane(code, topic)),

        code => Verdict::Failed(PublishError::Unknown(format!("topic `{topic}`: {code}"))),
    }
}

/// The broker's answer about a message that was alone in its batch.
pub(super) fn reported_alone(code: Code, topic: &str) -> PublishError {
    match reported(code, topic) {
        Verdict::Failed(error) => error,
        Verdict::AskAlone(Code::InvalidDifferentRecord) => lane(code, topic),
        Verdict::AskAlone(code) => PublishError::Message(format!("topic `{topic}` does not take it: {code}")),
    }
}

fn lane(code: Code, topic: &str) -> PublishError {
    PublishError::LaneDown(format!("topic `{topic}`: {code}"))
}
