//! URLs behind proxies: scheme, host, port, path, slash and query, as the platform may have called them.

use std::collections::BTreeSet;

use super::trial::Bench;
use super::{Case, Cause, Mistake};
use crate::delivery::{Method, RawDelivery};

const REMEDY: &str = "set `public_url` of the source (or of `ingress`) to the URL that is registered at the platform, or list the proxy under `ingress.trusted_proxies`";

/// A URL in its pieces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pieces {
    scheme: String,
    host: String,
    /// With its colon.
    port: String,
    path: String,
    query: String,
}

impl Pieces {
    fn of(raw: &RawDelivery) -> Self {
        let (scheme, rest) = raw.url.split_once("://").unwrap_or(("http", &raw.url));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (path, query) = rest.split_once('?').unwrap_or((rest, &raw.query));
        let (host, port) = split_port(authority);
        Self {
            scheme: scheme.into(),
            host,
            port,
            path: path.into(),
            query: query.into(),
        }
    }

    fn url(&self) -> String {
        let query = if self.query.is_empty() { "" } else { "?" };
        format!(
            "{}://{}{}{}{query}{}",
            self.scheme, self.host, self.port, self.path, self.query
        )
    }

    /// What differs, without what stands in a query: it may be a credential.
    fn differs(&self, other: &Self) -> String {
        let mut said = Vec::new();
        let mut say = |what: &str, ours: &str, theirs: &str| {
            if ours != theirs {
                let shown = |text: &str| {
                    if text.is_empty() {
                        "none".to_owned()
                    } else {
                        format!("`{text}`")
                    }
                };
                said.push(format!("{what}: {} here, {} there", shown(ours), shown(theirs)));
            }
        };
        say("scheme", &self.scheme, &other.scheme);
        say("host", &self.host, &other.host);
        say("port", &self.port, &other.port);
        say("path", &self.path, &other.path);
        if self.query != other.query {
            said.push("the query was added, taken away or changed".to_owned());
        }
        said.join("; ")
    }

    fn count(&self, other: &Self) -> usize {
        [
            self.scheme != other.scheme,
            self.host != other.host,
            self.port != other.port,
            self.path != other.path,
            self.query != other.query,
        ]
        .into_iter()
        .filter(|differs| *differs)
        .count()
    }
}

fn split_port(authority: &str) -> (String, String) {
    let at = authority.rfind(':').filter(|at| {
        let port = &authority[at + 1..];
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let (host, port) = authority.split_at(at.unwrap_or(authority.len()));
    (host.into(), port.into())
}

/// URL, method and content type, where a signature covers them.
pub(super) async fn search(case: &Case<'_>, bench: &Bench, raw: &RawDelivery) -> Option<(Cause, RawDelivery)> {
    let covers = case.covers();
    if covers.iter().any(|covers| covers.url) {
        let ours = Pieces::of(raw);
        for other in variants(&ours, raw) {
            let changed = RawDelivery {
                url: other.url(),
                path: other.path.clone(),
                query: other.query.clone(),
                ..raw.clone()
            };
            if bench.holds(&changed, case.at).await {
                let says = format!(
                    "the platform signed another URL than the one seen here ({})",
                    ours.differs(&other)
                );
                return Some((Cause::proved(Mistake::Url, says, REMEDY), changed));
            }
        }
    }
    if covers.iter().any(|covers| covers.method) {
        for method in [Method::POST, Method::GET, Method::PUT] {
            let changed = RawDelivery {
                method: method.clone(),
                ..raw.clone()
            };
            if method != raw.method && bench.holds(&changed, case.at).await {
                let says = format!("the platform signed the method {method}, and {} arrived", raw.method);
                let remedy = "keep the method: a redirect (301, 302) on the way turns a POST into a GET";
                return Some((Cause::proved(Mistake::Method, says, remedy), changed));
            }
        }
    }
    for kind in ["application/x-www-form-urlencoded", "application/json"] {
        let changed = super::trial::with_header(raw, "content-type", kind.as_bytes())?;
        if bench.holds(&changed, case.at).await {
            let says = format!("the platform sent it as `{kind}`, and it arrives as another content type");
            let remedy = "pass `Content-Type` on as it came: it decides what is signed";
            return Some((Cause::proved(Mistake::ContentType, says, remedy), changed));
        }
    }
    None
}

/// The URLs that may have been called, those with the fewest changes first.
fn variants(ours: &Pieces, raw: &RawDelivery) -> Vec<Pieces> {
    let header = |name: &'static str| {
        raw.headers
            .iter()
            .filter(move |(known, _)| known.as_str() == name)
            .filter_map(|(_, value)| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
    };
    let forwarded: Vec<(String, String)> = header("forwarded")
        .flat_map(|element| element.split(';').map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((
                name.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"').to_owned(),
            ))
        })
        .collect();
    let of = |wanted: &'static str| {
        forwarded
            .iter()
            .filter(move |(name, _)| name == wanted)
            .map(|(_, v)| v.clone())
    };

    let schemes: BTreeSet<String> = ["http", "https"].map(str::to_owned).into();
    let mut hosts: Vec<(String, String)> = vec![(ours.host.clone(), ours.port.clone())];
    let named = header("x-forwarded-host")
        .chain(of("host"))
        .chain(header("x-original-host"))
        .chain(header("host"));
    for authority in named {
        let (host, port) = split_port(&authority);
        hosts.push((host.clone(), port));
        hosts.push((host, String::new()));
    }
    let ports: Vec<String> = header("x-forwarded-port").map(|port| format!(":{port}")).collect();
    for (host, _) in hosts.clone() {
        hosts.push((host.clone(), String::new()));
        for port in ports
            .iter()
            .map(String::as_str)
            .chain([":443", ":80", ":8080", ":8443"])
        {
            hosts.push((host.clone(), port.to_owned()));
        }
    }
    hosts.sort();
    hosts.dedup();

    let mut paths = vec![ours.path.clone()];
    for original in header("x-original-uri")
        .chain(header("x-original-url"))
        .chain(header("x-forwarded-uri"))
    {
        let path = original.split_once("://").map_or(original.as_str(), |(_, rest)| {
            rest.find('/').map_or("/", |at| &rest[at..])
        });
        paths.push(path.split('?').next().unwrap_or_default().to_owned());
    }
    for prefix in header("x-forwarded-prefix").chain(header("x-script-name")) {
        paths.push(format!("{}{}", prefix.trim_end_matches('/'), ours.path));
    }
    // A prefix that a proxy put in front.
    for (at, _) in ours.path.match_indices('/').skip(1).take(4) {
        paths.push(ours.path[at..].to_owned());
    }
    let decoded = percent_encoding::percent_decode_str(&ours.path)
        .decode_utf8_lossy()
        .into_owned();
    paths.push(decoded);
    for path in paths.clone() {
        paths.push(match path.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{path}/"),
        });
    }
    let mut queries = vec![ours.query.clone(), String::new()];
    queries.extend(header("x-original-uri").filter_map(|uri| uri.split_once('?').map(|(_, query)| query.to_owned())));
    if let Some((first, _)) = ours.query.split_once('&') {
        queries.push(first.to_owned());
    }
    let mut all = BTreeSet::new();
    for scheme in &schemes {
        for (host, port) in &hosts {
            for path in &paths {
                for query in &queries {
                    all.insert(Pieces {
                        scheme: scheme.clone(),
                        host: host.clone(),
                        port: port.clone(),
                        path: path.clone(),
                        query: query.clone(),
                    });
                }
            }
        }
    }
    all.remove(ours);
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|other| ours.count(other));
    all
}
