//! Which URLs and addresses may be called at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::Url;

use super::Budget;

/// A URL that may be fetched: its host was allowed by a provider's data. Made by [`Hosts::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Hosts that a provider's data allows, and what the path must end in.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    patterns: Vec<String>,
    path_suffix: Option<String>,
    /// For URLs that deliveries choose among these. Every source has its own, as its rules are compiled for it alone.
    pub(super) budget: Arc<Budget>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("not a URL")]
    Url,
    #[error("not https, or with a user name")]
    Scheme,
    #[error("host `{0}` is not one of the platform's")]
    Host(String),
    #[error("path does not end in `{0}`")]
    Path(String),
    #[error("names its key by an id that is none: up to 64 letters, digits, `-` and `_`, in the URL's path")]
    Id,
}

/// `*` stands for a whole label of at least this many characters, as in Amazon's own kits: `sns.*.amazonaws.com` must
/// not mean the storage bucket `sns.s3.amazonaws.com`, which anybody could have. Nor may it mean that bucket by its
/// older, regional names (`sns.s3-eu-west-1.amazonaws.com`), which those kits let through: up to its first hyphen the
/// label has letters only, as every region has.
const SHORTEST_WILDCARD: usize = 3;

impl Hosts {
    /// `patterns`: host names in lower case, `*` for one label, `:port` where it is not 443.
    pub fn new(patterns: &[String], path_suffix: Option<&str>) -> Self {
        Self {
            patterns: patterns.to_vec(),
            path_suffix: path_suffix.map(str::to_owned),
            budget: Arc::default(),
        }
    }

    pub fn check(&self, url: &str) -> Result<Target, TargetError> {
        let url = Url::parse(url).map_err(|_| TargetError::Url)?;
        if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Scheme);
        }
        let host = url.host_str().ok_or(TargetError::Url)?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        if !self.patterns.iter().any(|pattern| matches(pattern, &authority)) {
            return Err(TargetError::Host(authority));
        }
        if let Some(suffix) = &self.path_suffix
            && (!url.path().ends_with(suffix) || url.query().is_some())
        {
            return Err(TargetError::Path(suffix.clone()));
        }
        Ok(Target(url))
    }
}

fn matches(pattern: &str, authority: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('.'), authority.split('.'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), Some(label)) => {
                let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                let first = label.split('-').next().unwrap_or_default();
                let lettered = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_alphabetic());
                if label.len() < SHORTEST_WILDCARD || !plain || !lettered {
                    return false;
                }
            }
            (Some(label), Some(other)) if label == other => {}
            _ => return false,
        }
    }
}

/// Whether an address may be connected to: public, or allowed by `outbound.allow_addresses`.
pub(super) fn may_connect(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    allowed.iter().any(|net| net.contains(&address)) || is_public(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// IANA's registry of special-purpose IPv4 addresses, multicast and class E.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224.., ..)
    );
    !special
}

/// Global unicast only, and of it nothing that embeds an IPv4 address or leads through a tunnel.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    let ietf = first == 0x2001 && second < 0x0200; // Teredo, ORCHID, benchmarking
    let documentation = (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    let six_to_four = first == 0x2002;
    global && !ietf && !documentation && !six_to_four
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
            "::ffff:0.0.0.0",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:7f00:1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a9fe:a9fe",
            "2002:7f00:1::1",
            "2001:0:7f00:1::",
            "2001:20::1",
            "3fff::1",
            "100::1",
            "5f00::1",
            "fd00:ec2::254",
            "192.88.99.1",
            "240.0.0.1",
            "0.1.2.3",
        ] {
            assert!(!may_connect(address.parse().unwrap(), &[]), "{address}");
        }
        for address in [
            "8.8.8.8",
            "100.63.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(may_connect(address.parse().unwrap(), &[]), "{address}");
        }
        let allowed = ["127.0.0.0/8".parse().unwrap()];
        assert!(may_connect("127.0.0.1".parse().unwrap(), &allowed));
        assert!(may_connect("::ffff:127.0.0.1".parse().unwrap(), &allowed));
        assert!(!may_connect("10.0.0.1".parse().unwrap(), &allowed));
    }
}
