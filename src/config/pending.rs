//! Settings that other rooms own, as long as those rooms are not written here.

pub mod kafka {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use crate::secret::Credential;

    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Settings {
        pub bootstrap_servers: String,
        pub topic: String,
        #[serde(default)]
        pub properties: BTreeMap<String, Credential>,
    }
}

pub mod rabbitmq {
    use serde::Deserialize;

    use crate::secret::Credential;

    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Settings {
        pub url: Credential,
        pub exchange: String,
        pub routing_key: String,
        #[serde(default)]
        pub declare: bool,
    }
}

pub mod journal {
    use std::path::PathBuf;

    use serde::Deserialize;

    use crate::units::{ByteSize, HumanDuration};

    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Settings {
        pub path: PathBuf,
        pub retention: Retention,
        pub spool: Spool,
    }

    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Retention {
        pub age: HumanDuration,
        pub size: ByteSize,
    }

    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Spool {
        pub max_bytes: ByteSize,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                path: PathBuf::from("data/hooksluice.db"),
                retention: Retention::default(),
                spool: Spool::default(),
            }
        }
    }

    impl Default for Retention {
        fn default() -> Self {
            Self {
                age: HumanDuration::from_days(7),
                size: ByteSize::gib(10),
            }
        }
    }

    impl Default for Spool {
        fn default() -> Self {
            Self {
                max_bytes: ByteSize::gib(10),
            }
        }
    }
}

pub mod keys {
    use std::path::PathBuf;

    use ipnet::IpNet;
    use serde::Deserialize;

    #[derive(Clone, Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Settings {
        pub allow_addresses: Vec<IpNet>,
        pub proxy: Option<String>,
        pub ca: Option<PathBuf>,
    }
}
