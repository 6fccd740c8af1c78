//! The names of our CloudEvents attributes, spelt for each protocol once.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

macro_rules! attributes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An attribute, in the order in which events list them. `specversion` and `datacontenttype`
        /// are not here: every protocol has its own place for them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Attribute {
            $($(#[$doc])* $variant,)*
        }

        impl Attribute {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As CloudEvents writes it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Header of a Kafka record in binary mode.
            pub fn kafka(self) -> &'static str {
                match self { $(Self::$variant => concat!("ce_", $name),)* }
            }

            /// Application header of an AMQP message in binary mode.
            pub fn amqp(self) -> &'static str {
                match self { $(Self::$variant => concat!("cloudEvents:", $name),)* }
            }
        }
    };
}

attributes! {
    /// The platform's event or delivery id, the body's SHA-256 where bodies never repeat, or minted once.
    Id = "id",
    /// `/sources/<name>`.
    Source = "source",
    /// The provider's domain and its event (`com.github.push`).
    Type = "type",
    /// When it happened, else when it was received.
    Time = "time",
    Subject = "subject",
    /// The contract that passed.
    DataSchema = "dataschema",
    Provider = "provider",
    /// Scheme that proved the sender, or `none`.
    Verification = "verification",
    /// Name of the secret or key that matched.
    VerificationKey = "verificationkey",
    /// `true` where the signature covers the id; else a consumer compares `bodysha256` too.
    IdSigned = "idsigned",
    /// Hex SHA-256 of the event's data.
    BodySha256 = "bodysha256",
    /// Hex SHA-256 of the delivered body.
    DeliverySha256 = "deliverysha256",
    /// Position of a batch's element, from 0.
    BatchIndex = "batchindex",
    PartitionKey = "partitionkey",
    TraceParent = "traceparent",
    TraceState = "tracestate",
    ReceivedTime = "receivedtime",
    HttpMethod = "httpmethod",
    /// The URL as the signature covers it; absent where it does not.
    HttpUrl = "httpurl",
    /// JSON object of the headers needed to verify again.
    HttpHeaders = "httpheaders",
    /// `passed`, `none`, `violated` or `off`.
    Contract = "contract",
    QuarantineReason = "quarantinereason",
    /// JSON array of the broken rules.
    Violations = "violations",
    /// Contract version that the delivery named, on quarantined events: a replay asks that one again.
    DeliveredVersion = "deliveredversion",
    /// `true` on replays only.
    Replay = "replay",
}

impl Attribute {
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|attribute| attribute.name() == name)
    }
}

/// A value: fixed, shared by the events of a source or delivery, or an event's own.
#[derive(Clone)]
pub(super) enum Text {
    Static(&'static str),
    Shared(Arc<str>),
    Own(Box<str>),
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
            Self::Own(text) => text,
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Own(text.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
