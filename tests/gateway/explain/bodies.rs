//! Bodies that were changed on their way.

use super::*;

/// The body changed, on every provider whose signature then fails; so many must be told apart.
fn bodies(mistake: Mistake, least: usize, change: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let (mut found, mut missed) = (0, Vec::new());
    for recorded in ways() {
        let mut case = recorded.case();
        let Some(body) = change(&case.raw.body).filter(|body| *body != *case.raw.body) else {
            continue;
        };
        case.raw = with_body(&case.raw, body);
        let report = ask(&case);
        if report.verifies || !matches!(report.step, Some(Step::Signature | Step::Digest)) {
            continue;
        }
        match proves(&report, mistake) {
            true => found += 1,
            false => missed.push(format!("{}: {:?}", recorded.sample.place, report.causes)),
        }
    }
    assert!(found >= least, "{mistake:?}: only {found}");
    assert!(
        missed.is_empty(),
        "{mistake:?}: {} of {found}:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

#[test]
fn a_line_break_that_was_added_is_named() {
    bodies(Mistake::BodyNewline, 150, |body| Some([body, b"\n"].concat()));
}

#[test]
fn a_line_break_that_was_stripped_is_named() {
    bodies(Mistake::BodyNewline, 1, |body| {
        let bare = body.trim_ascii_end();
        (bare.len() < body.len()).then(|| bare.to_vec())
    });
}

#[test]
fn changed_line_breaks_are_named() {
    bodies(Mistake::BodyLineBreaks, 2, |body| {
        let text = std::str::from_utf8(body).ok()?;
        text.trim_end()
            .contains('\n')
            .then(|| text.replace('\n', "\r\n").into_bytes())
    });
}

#[test]
fn a_byte_order_mark_is_named() {
    bodies(Mistake::BodyCharset, 150, |body| Some([b"\xef\xbb\xbf", body].concat()));
}

#[test]
fn a_body_that_was_encoded_twice_is_named() {
    bodies(Mistake::BodyCharset, 5, |body| {
        let text: String = body.iter().map(|byte| char::from(*byte)).collect();
        (!body.is_ascii()).then(|| text.into_bytes())
    });
}

#[test]
fn a_body_in_base64_or_in_a_json_string_is_named() {
    bodies(Mistake::BodyEncoded, 150, |body| {
        (!body.is_empty()).then(|| STANDARD.encode(body).into_bytes())
    });
    bodies(Mistake::BodyEncoded, 150, |body| {
        serde_json::to_vec(std::str::from_utf8(body).ok()?).ok()
    });
}

/// Bodies as Python's json module writes them again.
fn through_python(bodies: &[Vec<u8>], options: &str) -> Vec<Option<Vec<u8>>> {
    const SCRIPT: &str = "import sys,json,base64\nfor line in sys.stdin:\n  try:\n    out=json.dumps(json.loads(base64.b64decode(line)),OPTIONS).encode()\n  except Exception:\n    out=b''\n  print(base64.b64encode(out).decode())\n";
    let mut child = Command::new(crate::support::needed("HOOKSLUICE_TEST_PYTHON"))
        .args(["-c", &SCRIPT.replace("OPTIONS", options)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut stdin = child.stdin.take().expect("piped");
    let lines: String = bodies.iter().map(|body| STANDARD.encode(body) + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("joined").expect("written");
    let text = String::from_utf8(output.stdout).expect("ASCII");
    let decoded = text.lines().map(|line| STANDARD.decode(line).expect("base64"));
    decoded.map(|body| (!body.is_empty()).then_some(body)).collect()
}

#[test]
fn json_that_was_serialised_again_is_named() {
    let all: Vec<_> = ways().collect();
    let bodies: Vec<_> = all.iter().map(|recorded| recorded.sample.body.clone()).collect();
    for (options, what) in [
        ("indent=2,ensure_ascii=False", "pretty-printed"),
        ("ensure_ascii=True", "spaced, and escaped"),
        ("separators=(',',':'),sort_keys=True,ensure_ascii=False", "sorted"),
        ("indent=4,sort_keys=True", "pretty-printed, sorted, escaped"),
    ] {
        let (mut found, mut missed) = (0, Vec::new());
        for (recorded, body) in all.iter().zip(through_python(&bodies, options)) {
            let Some(body) = body.filter(|body| *body != recorded.sample.body) else {
                continue;
            };
            let mut case = recorded.case();
            case.raw = with_body(&case.raw, body);
            let report = ask(&case);
            if report.verifies || !matches!(report.step, Some(Step::Signature | Step::Digest)) {
                continue;
            }
            match proves(&report, Mistake::BodyReserialised) {
                true => found += 1,
                // Numbers, names that differ between samples: not to be undone, and then nothing is claimed as proved.
                false => {
                    let claims = report.causes.iter().any(|cause| cause.proved);
                    assert!(!claims, "{what}: {}: {:?}", recorded.sample.place, report.causes);
                    missed.push(recorded.sample.place.clone());
                }
            }
        }
        assert!(found >= 100, "{what}: only {found}");
        assert!(missed.len() * 10 <= found, "{what}: {found} found, missed: {missed:?}");
    }
}
