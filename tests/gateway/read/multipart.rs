//! `multipart/form-data`: read like any other form, and refused where two readers could differ.

use hooksluice::read::form::Form;
use hooksluice::read::{Document, ReadOptions};
use proptest::prelude::*;

use super::{definition, found, raw, read_as, reason};

const KIND: (&str, &str) = ("content-type", "multipart/form-data; boundary=x");

/// A part with these headers behind its disposition, as they stand.
fn part(disposition: &str, more: &str, value: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n{value}\r\n")
}

fn field(name: &str, value: &str) -> String {
    part(&format!("name=\"{name}\""), "", value)
}

fn closed(parts: &str) -> String {
    format!("{parts}--x--\r\n")
}

/// Name and value of each field, or why there are none.
fn fields(body: &str) -> Result<Vec<(String, String)>, &'static str> {
    let form = Form::multipart(KIND.1, body.as_bytes()).map_err(|refused| refused.reason)?;
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Ok(form.iter().map(owned).collect())
}

fn one(body: &str) -> Result<(String, String), &'static str> {
    let mut all = fields(body)?;
    assert_eq!(all.len(), 1, "{all:?}");
    Ok(all.remove(0))
}

#[test]
fn a_multipart_form_maps_to_json_in_order_and_without_its_files() {
    let file = part(
        "name=\"scan\"; filename=\"a \\b.pdf\"",
        "Content-Type: application/pdf\r\n",
        "%PDF\r\n\u{0}",
    );
    let body = closed(&format!(
        "nobody reads this\r\n{}{}{file}{}{}",
        field("b", "2"),
        part("name=a", "Content-Type: text/plain; charset=UTF-8\r\n", "1 +%20\r\n€"),
        field("b", "3"),
        field("empty", ""),
    )) + "nor this\r\n";
    let raw = raw(&[KIND], body);
    let lines = "[event]\nid = [{ form = 'a' }]\nsubject = [{ json = '/b/1' }]";
    let parts = read_as(
        &definition(lines),
        &raw,
        ReadOptions {
            json_payload: true,
            ..ReadOptions::default()
        },
    );
    let part = &parts.parts()[0];
    assert!(matches!(part.document, Document::Form(_)), "{:?}", part.document);
    assert_eq!(part.data, raw.body, "the sender's bytes, files and all");
    assert_eq!(part.content_type, KIND.1);
    let expected = r#"{"b":["2","3"],"a":"1 +%20\r\n€","empty":""}"#;
    assert_eq!(part.mapped.as_deref(), Some(expected.as_bytes()));
    assert!(part.found.id.as_deref().is_some_and(|id| id.starts_with("1 +%20")));
    assert_eq!(part.found.subject.as_deref(), Some("3"));
}

/// The bodies as they sent them: the same two fields and a file.
#[test]
fn what_curl_and_the_clients_of_node_and_python_send_is_read() {
    for sent in [
        &include_bytes!("../../../fuzz/corpus/forms/multipart-curl")[..],
        include_bytes!("../../../fuzz/corpus/forms/multipart-undici"),
        include_bytes!("../../../fuzz/corpus/forms/multipart-urllib3"),
    ] {
        let text = std::str::from_utf8(sent).expect("UTF-8");
        let (kind, body) = text.split_once('\n').expect("a content type");
        let form = Form::multipart(kind, body.as_bytes()).unwrap_or_else(|refused| panic!("{refused}: {text}"));
        assert_eq!(form.get("json"), Some(r#"{"a":"ü"}"#));
        assert_eq!(form.get("a\"b"), Some("1"));
        assert_eq!(form.get("f"), None);
    }
}

#[test]
fn a_multipart_form_s_json_field_is_unwrapped() {
    let lines = "[body]\nform_json_field = 'json'\n[event]\ntype = [{ json = '/type' }]";
    let body = closed(&field("json", r#"{"type":"sent"}"#));
    assert_eq!(found(lines, &raw(&[KIND], body)).event, "sent");
    assert_eq!(reason(lines, &raw(&[KIND], closed(&field("json", "no")))), "not-json");
    // A file is no field, whatever its name.
    let file = part("name=\"json\"; filename=\"json\"", "", r#"{"type":"sent"}"#);
    assert_eq!(found(lines, &raw(&[KIND], closed(&file))).event, "unknown");
}

#[test]
fn a_boundary_may_be_quoted_and_stand_among_other_parameters() {
    let read = |kind: &str, body: &str| {
        let form = Form::multipart(kind, body.as_bytes()).map_err(|refused| refused.reason)?;
        Ok::<_, &str>(form.get("a").map(str::to_owned))
    };
    let body = closed(&field("a", "1"));
    let spaced = body.replace("--x", "--x y:=");
    for (kind, body) in [
        ("multipart/form-data; boundary=x", &body),
        ("Multipart/Form-Data;BOUNDARY=\"x\"", &body),
        ("multipart/form-data; charset=\"a;b\" ; boundary=x ;", &body),
        ("multipart/form-data; boundary=\"x y:=\"", &spaced),
    ] {
        assert_eq!(read(kind, body), Ok(Some("1".to_owned())), "{kind}");
    }
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"x",
        "multipart/form-data; boundary=\"x \"",
        "multipart/form-data; boundary=x; boundary=x",
        "multipart/form-data; boundary=x; Boundary=y",
        "multipart/form-data; boundary=x<",
        "multipart/form-data; boundary x",
        &long,
    ] {
        assert_eq!(read(kind, &body), Err("not-a-form"), "{kind}");
    }
}

#[test]
fn names_are_unescaped_as_browsers_escape_them() {
    let name = |name: &str| one(&closed(&field(name, "1"))).map(|(name, _)| name);
    assert_eq!(name("a%22b%0D%0Ac%41%"), Ok("a\"b\r\nc%41%".into()));
    assert_eq!(name("payload[größe]"), Ok("payload[größe]".into()));
    assert_eq!(name(""), Ok(String::new()));
    // A character to browsers, an escape to RFC 2045.
    for two_ways in ["a\\b", "a\\", "a\\\""] {
        assert_eq!(name(two_ways), Err("not-a-form"), "{two_ways}");
    }
}

#[test]
fn what_is_no_whole_multipart_form_is_refused() {
    let good = closed(&field("a", "1"));
    assert_eq!(one(&good), Ok(("a".into(), "1".into())));
    for end in 0..good.len() - 2 {
        let cut = &good[..end];
        assert_eq!(fields(cut), Err("not-a-form"), "{cut:?}");
    }
    let bad = |body: String| assert_eq!(fields(&body), Err("not-a-form"), "{body:?}");
    bad(field("a", "1"));
    bad(good.replace("\r\n", "\n"));
    bad(good.replace("\r\n--x--", "\n--x--"));
    bad(good.replace("--x--", "--xy--"));
    bad(good.replace("--x--", "--x-- no"));
    bad(closed(&field("a", "1\r\n--xx")));
    bad(closed(&field("a", "1").replace("--x\r\n", "--x")));
    bad(closed("--x\r\n\r\n1\r\n"));
    // A boundary, and not the first header of the part before it.
    bad(closed(&field("a", "1").replace("\r\nContent", "\r\n--x: y\r\nContent")));
    bad(closed(&format!("--x\r\n{}", field("a", "1"))));
    bad(closed("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n"));
    bad(closed(
        "--x\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n1\r\n",
    ));
    bad(closed("--x\r\nContent-Disposition form-data; name=\"a\"\r\n\r\n1\r\n"));
    for disposition in [
        "nam=\"a\"",
        "name",
        "name=",
        "name=\"a",
        "name=\"a\" b",
        "name=\"a\"; name=\"b\"",
        "name=\"a\"; name*=utf-8''b",
        "name=\"a\"; filename=\"x\"; filename=\"y\"",
        "name=\"a\"; filename=\"x\\\"; name=\"b\"",
        "name=a\tb",
        "name=\"a\u{1}\"",
    ] {
        bad(closed(&part(disposition, "", "1")));
    }
    let again = "Content-Disposition: form-data; name=\"b\"\r\n";
    for more in [
        again,
        "Content-Type: text/plain\r\ncontent-type: text/plain\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        " folded: 1\r\n",
        "X: a\rb\r\n",
    ] {
        bad(closed(&part("name=\"a\"", more, "1")));
    }
    assert_eq!(fields("--x--\r\n"), Err("empty"));
    assert_eq!(reason("", &raw(&[KIND], "")), "empty");
}

#[test]
fn text_that_is_not_utf8_is_refused_and_other_parts_need_not_be_any() {
    for charset in ["iso-8859-1", "\"UTF-16\"", "windows-1252"] {
        let kind = format!("Content-Type: text/plain; charset={charset}\r\n");
        assert_eq!(
            fields(&closed(&part("name=a", &kind, "1"))),
            Err("not-utf8"),
            "{charset}"
        );
    }
    let bytes = |text: String| -> Vec<u8> {
        text.bytes()
            .map(|byte| if byte == b'#' { 0xff } else { byte })
            .collect()
    };
    let refused = |body: String| reason("", &raw(&[KIND], bytes(body)));
    assert_eq!(refused(closed(&field("a", "#"))), "not-utf8");
    assert_eq!(refused(closed(&field("#", "1"))), "not-utf8");
    let file = part("name=a; filename=b", "Content-Transfer-Encoding: base64\r\n", "#");
    let body = bytes(closed(&file));
    let form = Form::multipart(KIND.1, &body).expect("a form");
    assert_eq!(form.iter().count(), 0);
}

#[test]
fn a_multipart_form_s_parts_and_headers_are_bounded() {
    let many = |count: usize| closed(&field("a", "").repeat(count));
    assert_eq!(fields(&many(10_000)).map(|fields| fields.len()), Ok(10_000));
    assert_eq!(fields(&many(10_001)), Err("too-many-fields"));
    let files = part("name=a; filename=b", "", "").repeat(10_001);
    assert_eq!(fields(&closed(&files)), Err("too-many-fields"));

    let long = |bytes: usize| closed(&part("name=a", &format!("X: {}\r\n", "x".repeat(bytes)), "1"));
    assert!(fields(&long(8_000)).is_ok());
    assert_eq!(fields(&long(8_192)), Err("not-a-form"));
    assert_eq!(
        fields(&closed(&part("name=a", &"X: 1\r\n".repeat(100_000), "1"))),
        Err("not-a-form")
    );
    assert_eq!(
        fields(&closed(&part(&"a=b; ".repeat(100_000), "", "1"))),
        Err("not-a-form")
    );
    // Nearly a boundary, over and over.
    assert_eq!(fields(&"\r\n--".repeat(500_000)), Err("not-a-form"));
    assert!(one(&closed(&field("a", &"\r\n-".repeat(500_000)))).is_ok());
}

proptest! {
    #[test]
    fn what_is_written_as_multipart_reads_back(
        form in prop::collection::vec((r"[^\\%\p{Cc}]{0,12}", "(?s).{0,40}"), 1..12),
        padding in "[ \t]{0,2}",
    ) {
        let boundary = "a boundary of 'the' test";
        let mut body = String::new();
        for (name, value) in &form {
            let name = name.replace('"', "%22");
            body += &format!("--{boundary}{padding}\r\ncontent-disposition:form-data;name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += &format!("--{boundary}--");
        let read = Form::multipart(&format!("multipart/form-data; boundary=\"{boundary}\""), body.as_bytes());
        let read = read.map(|form| form.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        prop_assert_eq!(read, Ok::<Vec<_>, _>(form));
    }
}
