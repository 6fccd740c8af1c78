//! Parts of a URL, as it was written: what is signed must not be normalised first.

use std::borrow::Cow;

/// Host, and port if there is one, of a URL.
pub(crate) fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Path and query of a URL. The sender signed those of the URL that it called, which a proxy may have rewritten on the way.
pub(crate) fn path_and_query(url: &str) -> (&str, Option<&str>) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let target = &rest[rest.find(['/', '?']).unwrap_or(rest.len())..];
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// The URL as it is, without its port, and with the standard port of its scheme: platforms that sign any of them.
pub(crate) fn either_port(url: &str) -> Vec<Cow<'_, str>> {
    let mut urls = vec![Cow::Borrowed(url)];
    let host = authority(url);
    let Some((scheme, _)) = url.split_once("://") else {
        return urls;
    };
    let start = host.as_ptr() as usize - url.as_ptr() as usize;
    let (before, after) = (&url[..start], &url[start + host.len()..]);
    let colon = host
        .rfind(':')
        .filter(|at| host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()));
    let bare = colon.map_or(host, |at| &host[..at]);
    let port = if scheme == "http" { 80 } else { 443 };
    for other in [
        format!("{before}{bare}{after}"),
        format!("{before}{bare}:{port}{after}"),
    ] {
        if urls.iter().all(|known| *known != other) {
            urls.push(Cow::Owned(other));
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_those_of_the_url() {
        assert_eq!(path_and_query("https://a.example/x/y?z=/1?2"), ("/x/y", Some("z=/1?2")));
        assert_eq!(path_and_query("https://a.example?z"), ("", Some("z")));
        assert_eq!(path_and_query("https://a.example"), ("", None));
    }

    #[test]
    fn a_url_is_tried_with_and_without_its_port() {
        let urls = |url| either_port(url).into_iter().map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(
            urls("https://a.example/x?y=1:2"),
            ["https://a.example/x?y=1:2", "https://a.example:443/x?y=1:2"]
        );
        assert_eq!(
            urls("http://u:p@a.example:8080?q"),
            [
                "http://u:p@a.example:8080?q",
                "http://u:p@a.example?q",
                "http://u:p@a.example:80?q"
            ]
        );
        assert_eq!(urls("https://[::1]/x"), ["https://[::1]/x", "https://[::1]:443/x"]);
        assert_eq!(urls("nonsense"), ["nonsense"]);
    }
}
