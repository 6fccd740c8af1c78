//! Who sent a request and which URL was called, when trusted proxies stand in between.
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-*` count only when the peer is a listed proxy; the
//! rightmost hop that is not listed is the sender.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{FORWARDED, HOST, HeaderName};
use ipnet::IpNet;

use super::head::is_of_host;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub sender: Option<IpAddr>,
    /// `https://host`, as the platform called it.
    pub base_url: String,
}

#[derive(Default, Clone)]
struct Hop {
    address: Option<IpAddr>,
    proto: Option<String>,
    host: Option<String>,
}

pub fn origin(request: &HttpRequest, trusted: &[IpNet]) -> Origin {
    let peer = request.peer_addr().map(|address| address.ip().to_canonical());
    let host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| request.headers().get(HOST).and_then(|value| value.to_str().ok()))
        .unwrap_or("localhost");
    let scheme = if request.app_config().secure() { "https" } else { "http" };
    if !peer.is_some_and(|peer| is_listed(peer, trusted)) {
        return Origin {
            sender: peer,
            base_url: format!("{scheme}://{host}"),
        };
    }
    let hops = hops(request);
    // From the right: everything up to and including the first address that is not ours.
    let sender = hops
        .iter()
        .rev()
        .find(|hop| !hop.address.is_some_and(|address| is_listed(address, trusted)));
    // The outermost listed proxy saw the sender's own request; its entry is the sender's.
    let seen = sender.or(hops.first()).cloned().unwrap_or_default();
    Origin {
        sender: seen.address.or(peer),
        base_url: format!(
            "{}://{}",
            seen.proto.as_deref().unwrap_or(scheme),
            seen.host.as_deref().filter(|host| is_host(host)).unwrap_or(host)
        ),
    }
}

fn is_listed(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Leftmost is the farthest. `Forwarded` wins where both are sent.
fn hops(request: &HttpRequest) -> Vec<Hop> {
    let values = |name: &HeaderName| -> Vec<String> {
        request
            .headers()
            .get_all(name)
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            // A sender's byte that is no text spoils its own element, and not those that proxies added.
            .map(|item| String::from_utf8_lossy(item).trim().to_owned())
            .collect()
    };
    let forwarded = values(&FORWARDED);
    if !forwarded.is_empty() {
        return forwarded.iter().map(|element| forwarded_hop(element)).collect();
    }
    let mut hops: Vec<Hop> = values(&X_FORWARDED_FOR)
        .iter()
        .map(|address| Hop {
            address: parse_address(address),
            ..Hop::default()
        })
        .collect();
    if hops.is_empty() {
        hops.push(Hop::default());
    }
    // These two are commonly single: what the outermost trusted proxy saw. Where they are lists, they
    // run beside the addresses.
    let protos = values(&X_FORWARDED_PROTO);
    let hosts = values(&X_FORWARDED_HOST);
    let total = hops.len();
    for (index, hop) in hops.iter_mut().enumerate() {
        let from_right = total - 1 - index;
        let beside = |list: &[String]| match list {
            [only] => Some(only.clone()),
            list => list.len().checked_sub(1 + from_right).map(|at| list[at].clone()),
        };
        hop.proto = beside(&protos)
            .filter(|proto| is_scheme(proto))
            .map(|proto| proto.to_ascii_lowercase());
        hop.host = beside(&hosts);
    }
    hops
}

fn forwarded_hop(element: &str) -> Hop {
    let mut hop = Hop::default();
    for pair in element.split(';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.address = parse_address(value),
            "proto" if is_scheme(value) => hop.proto = Some(value.to_ascii_lowercase()),
            "host" => hop.host = Some(value.to_owned()),
            _ => {}
        }
    }
    hop
}

fn is_scheme(value: &str) -> bool {
    value.eq_ignore_ascii_case("https") || value.eq_ignore_ascii_case("http")
}

fn is_host(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(is_of_host)
}

/// `192.0.2.1`, `192.0.2.1:443`, `[2001:db8::1]:443`, `2001:db8::1`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address: IpAddr = if let Some(rest) = text.strip_prefix('[') {
        rest.split(']').next()?.parse().ok()?
    } else if let Ok(address) = text.parse() {
        address
    } else {
        text.rsplit_once(':')?.0.parse().ok()?
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn what_a_sender_puts_in_front_hides_no_hop_that_a_proxy_added() {
        for (name, value, sender) in [
            ("x-forwarded-for", &b"\xff, 203.0.113.5"[..], "203.0.113.5"),
            ("x-forwarded-for", b"\xff, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
            ("forwarded", b"for=\"\xe4\", for=203.0.113.5;proto=https", "203.0.113.5"),
            // Nobody knows who this is.
            ("x-forwarded-for", b"203.0.113.5, \xff", "10.0.0.1"),
        ] {
            let value = HeaderValue::from_bytes(value).expect("a value");
            let request = TestRequest::default()
                .peer_addr(([10, 0, 0, 1], 1).into())
                .insert_header((name, value))
                .to_http_request();
            let origin = origin(&request, &["10.0.0.0/8".parse().expect("a net")]);
            assert_eq!(origin.sender, Some(sender.parse().expect("an address")));
        }
    }
}
