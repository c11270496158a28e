use std::{fs, path::Path};

use dyno_model::{
    Slos, Stages,
    load::{ExpectBody, ExpectStatus, Request},
};
use proptest::prelude::*;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

const PEOPLE: (&str, &str) = ("people.csv", "id,name\n1,Ada\n2,\"Grace \"\"G\"\"\nHopper\"\n");

fn mix(text: &str) -> Result<Traffic, PlanError> {
    mix_of(&[("mix.toml", text), PEOPLE])
}

fn mix_of(files: &[(&str, &str)]) -> Result<Traffic, PlanError> {
    let folder = folder(files);
    read_mix(&folder.path().join("mix.toml"), None).map_err(|error| relative(error, folder.path()))
}

/// The error without the temporary folder.
fn relative(error: PlanError, folder: &Path) -> PlanError {
    let cut = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_owned();
    match error {
        PlanError::Invalid { path, line, message, example } => {
            PlanError::Invalid { path: cut(&path), line, message, example }
        }
        PlanError::Unreadable { path, source } => PlanError::Unreadable { path: cut(&path), source },
        other => other,
    }
}

/// What is wrong and what is said, one after the other.
fn said<'a, T: std::fmt::Debug>(cases: &[&'a str], read: impl Fn(&'a str) -> Result<T, PlanError>) -> String {
    let said = |case: &&'a str| format!("{}\n=> {}\n", case.trim_end(), read(case).unwrap_err());
    cases.iter().map(said).collect::<Vec<_>>().join("\n")
}

/// Requests in few lines: what the engine is handed, less lengths and host.
fn shown(traffic: &Traffic) -> String {
    let origin = traffic.origin.as_ref().map_or("nowhere".to_owned(), ToString::to_string);
    let mut lines = vec![format!("to {origin}")];
    for kind in &traffic.kinds {
        lines.push(format!("\n[{}] weight {}", kind.name, kind.weight));
        for Request { method, target, headers, body, expect } in &kind.requests {
            lines.push(format!("{method} {target}"));
            lines.extend(headers.iter().map(|(name, value)| format!("  {name}: {value}")));
            if !body.is_empty() {
                lines.push(format!("  {}", String::from_utf8_lossy(body).escape_debug()));
            }
            let right = match &expect.body {
                ExpectBody::Equal(body) => format!("equal to {:?}", String::from_utf8_lossy(body)),
                ExpectBody::Json(value) => format!("with {value}"),
                other => format!("{other:?}"),
            };
            lines.push(format!("  => {:?}, {right}", expect.status));
        }
    }
    lines.join("\n")
}

mod mixes {
    use super::*;

    const GET: &str = "[[request]]\npath = \"/\"\n";

    #[test]
    fn every_part_takes_its_cells() {
        let traffic = mix(r#"
base = "https://ada:pw@example.org/api/"
[headers]
Accept = "application/json"
X-Common = "a"

[[request]]
name = "all"
weight = 2.5
path = "/contacts/{{ id }}?q={{id}}&raw={{{{x}} ü#part"
data = "people.csv"
headers = { x-common = "b", X-Id = "no. {{id}}" }
json = { id = "{{id:number}}", n = "<{{id}}>", list = ["{{name}}", 1, 2.5, true, 2026-11-25] }
expect = { status = 201, json = { id = "{{id:json}}" } }

[[request]]
method = "PUT"
path = "/form"
data = "people.csv"
form = { z = "{{name}}", a = "1&2" }
expect = { body = "Hello {{id}}" }

[[request]]
path = "/plain"
[[request]]
path = "/plain"
expect = { size = 3 }
headers = { Authorization = "Bearer x", Accept = "" }
"#)
        .unwrap();
        insta::assert_snapshot!("mix", shown(&traffic));
    }

    #[test]
    fn a_url_goes_before_the_base() {
        let folder = folder(&[("mix.toml", &format!("base = \"http://one/a\"\n{GET}"))]);
        let path = folder.path().join("mix.toml");
        let read = |url| {
            let traffic = read_mix(&path, url).unwrap();
            (traffic.origin.unwrap().to_string(), traffic.kinds[0].requests[0].target.clone())
        };
        assert_eq!(read(None), ("http://one".to_owned(), "/a/".to_owned()));
        assert_eq!(read(Some("http://two:8000")), ("http://two:8000".to_owned(), "/".to_owned()));
        insta::assert_snapshot!("mix_bad_url", read_mix(&path, Some("two/?x")).unwrap_err().to_string());
        assert_eq!(mix(GET).unwrap().origin, None);
    }

    #[test]
    fn a_body_file_is_sent_as_it_is_or_filled() {
        let with = |data: &str, bytes: &[u8]| {
            let text = format!("[[request]]\npath = \"/{{{{id}}}}\"\nbody_file = \"b\"\n{data}");
            let text = if data.is_empty() { text.replace("{{id}}", "") } else { text };
            let folder = folder(&[("mix.toml", &text), PEOPLE]);
            fs::write(folder.path().join("b"), bytes).unwrap();
            let traffic = read_mix(&folder.path().join("mix.toml"), None).unwrap();
            let request = traffic.kinds[0].requests[0].clone();
            assert_eq!(request.method, "POST");
            request.body
        };
        assert_eq!(with("", b"{{name}}"), b"{{name}}");
        assert_eq!(with("data = \"people.csv\"", b"{{name}}!"), b"Ada!");
        assert_eq!(with("data = \"people.csv\"", b"\xff{{name}}"), b"\xff{{name}}");
    }

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_example() {
        let cases = [
            "",
            "request = []",
            "colour = 1",
            "[[request]]\npath = \"/\"\ncolour = 1",
            "[[request]]\nname = \"a\"",
            "[[request]]\npath = \"/\"\nexpect = { code = 200 }",
            "[[request]]\npath = \"/\"\nheaders = { X-Number = 1 }",
            "[[request]]\npath = \"/\"\nweight = \"8\"",
            "base = \"127.0.0.1:8000\"\n[[request]]\npath = \"/\"",
            "base = \"http://h/?x=1\"\n[[request]]\npath = \"/\"",
            "[[request]]\npath = \"/\"\nweight = 0",
            "[[request]]\npath = \"/\"\nweight = inf",
            "[[request]]\npath = \"/\"\nname = \" \"",
            "[[request]]\npath = \"/\"\nname = \"a\"\n[[request]]\npath = \"/\"\nname = \"a\"",
            "[[request]]\npath = \"/\"\nmethod = \"G T\"",
            "[[request]]\npath = \"/\"\nmethod = \"post\"",
            "[[request]]\npath = \"contacts\"",
            "[[request]]\npath = \"http://h/contacts\"",
            "[[request]]\npath = \"/a\\r\\nX: y\"",
            "[[request]]\npath = \"/a\"\nheaders = { \"X Y\" = \"a\" }",
            "[headers]\nAccept = \"a\\r\\nX: y\"\n[[request]]\npath = \"/a\"",
            "[[request]]\npath = \"/a\"\n[request.headers]\nX-A = \"a\"\nX-B = \"a\\nb\"",
            "[[request]]\npath = \"/a\"\nheaders = { Content-Length = \"3\" }",
            "[[request]]\npath = \"/a\"\nbody = \"a\"\njson = {}",
            "[[request]]\npath = \"/a\"\nform = {}\nbody_file = \"b\"",
            "[[request]]\npath = \"/a\"\nbody_file = \"/nowhere/file\"",
            "[[request]]\npath = \"/a\"\ndata = \"/nowhere/rows.csv\"",
            "[[request]]\npath = \"/a\"\njson = { a = nan }",
            "[[request]]\npath = \"/a\"\nexpect = { status = 101 }",
            "[[request]]\npath = \"/a\"\nexpect = { body = \"a\", size = 1 }",
            "[[request]]\npath = \"/a\"\nmethod = \"HEAD\"\nexpect = { size = 1 }",
            "[[request]]\npath = \"/{{id}}\"",
            "[[request]]\npath = \"/{{id\"",
            "[[request]]\npath = \"/a\"\nbody = \"{{{{ok}} {{id}}\"",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{{ID}}\"",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{id}\"",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{{id:text}}\"",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{{id:number}}\"",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{{id}}\"\nbody = \"{{id:json}}\"",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{{id}}\"\njson = [\"no. {{id:number}}\"]",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{{id}}\"\njson = { \"{{id}}\" = 1 }",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{{id}}\"\njson = [\"{{id:raw}}\"]",
            "[[request]]\ndata = \"people.csv\"\npath = \"/{{id}}\"\nheaders = { X = \"{{nam}}\" }",
        ];
        insta::assert_snapshot!("mix_errors", said(&cases, mix));
    }

    #[test]
    fn what_is_wrong_in_a_row_is_said_with_the_data_files_line() {
        let request = |rest: &'static str| {
            move |data: &str| {
                let text = format!("[[request]]\ndata = \"rows.csv\"\n{rest}");
                mix_of(&[("mix.toml", &text), ("rows.csv", data)])
            }
        };
        let by_id = request("path = \"/{{id}}\"");
        let cases = ["", "id,name\n", "id,id\n1,2\n", "id,name\n1,Ada\n\n2\n3,Eve\n", "id\n1,2\n"];
        insta::assert_snapshot!("data_errors", said(&cases, by_id));
        let header = said(&["a\nok\n\"x\r\ny\"\n"], request("path = \"/\"\nheaders = { X = \"{{a}}\" }"));
        let number = request("path = \"/\"\njson = [\"{{a:number}}\"]");
        let number = said(&["a\n1.5\n\"x\ny\"\n", "a\n12345678901234567890123\n", "a\nNaN\n"], number);
        let json = said(&["a\n1\n{\n"], request("path = \"/\"\njson = [\"{{a:json}}\"]"));
        let path = said(&["a\n/\nx\n", "a\n/a#b\n", "a\n\"/\nb\"\n"], request("path = \"{{a:raw}}\""));
        let encoded = said(&["a\n/b\n"], request("path = \"{{a}}\""));
        insta::assert_snapshot!("row_errors", [header, number, json, path, encoded].join("\n"));
    }

    #[test]
    fn rows_may_begin_with_a_mark_end_with_crlf_and_have_columns_nobody_asks_for() {
        let traffic = mix_of(&[
            ("mix.toml", "[[request]]\ndata = \"rows.csv\"\npath = \"{{url:raw}}\""),
            ("rows.csv", "\u{feff}url,,\r\n/a?b=%20 c,1,2\r\n\r\n/ü,,\r\n"),
        ]);
        let traffic = traffic.unwrap();
        let targets: Vec<&str> = traffic.kinds[0].requests.iter().map(|one| one.target.as_str()).collect();
        assert_eq!(targets, ["/a?b=%20%20c", "/%C3%BC"]);
    }
}

mod singles {
    use super::*;

    fn get(url: &str) -> SingleRequest {
        SingleRequest { url: url.to_owned(), ..SingleRequest::default() }
    }

    #[test]
    fn arguments_become_requests() {
        let folder =
            folder(&[PEOPLE, ("body.json", "{\"n\": \"{{name}}\"}"), ("big.json", "{ \"a\": 1.0e400 }")]);
        let at = |name: &str| format!("@{}", folder.path().join(name).display());
        let data = Some(folder.path().join("people.csv"));
        let owned = |text: &str| Some(text.to_owned());
        let requests = [
            get("http://h:8000"),
            SingleRequest {
                headers: vec!["Accept: text/html".to_owned(), "Accept: text/plain".to_owned()],
                json: owned("{ \"long\": 12345678901234567890123 }"),
                expect_status: Some(201),
                ..get("http://u:p@h/a b")
            },
            SingleRequest {
                json: Some(at("body.json")),
                data: data.clone(),
                expect_json: owned("{\"id\": \"{{id:number}}\"}"),
                ..get("http://h/{{id}}?n={{name}}#x")
            },
            SingleRequest {
                form: vec!["a=1=2".to_owned(), "b=".to_owned(), "a=&".to_owned()],
                expect_size: Some(3),
                ..get("http://h/")
            },
            SingleRequest {
                method: owned("PUT"),
                body: Some(at("body.json")),
                expect_body: Some(at("body.json")),
                data,
                ..get("http://h/")
            },
        ];
        let shown: Vec<String> = requests.iter().map(|request| shown(&single(request).unwrap())).collect();
        insta::assert_snapshot!("single", shown.join("\n\n"));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_argument_and_an_example() {
        let owned = |text: &str| Some(text.to_owned());
        let h = "http://h/";
        let requests = [
            get("h:8000/"),
            get("http://h/{{id}}"),
            SingleRequest { method: owned("get"), ..get(h) },
            SingleRequest { headers: vec!["Accept".to_owned()], ..get(h) },
            SingleRequest { headers: vec!["X: {{id}}".to_owned()], ..get(h) },
            SingleRequest { body: owned("a"), json: owned("1"), ..get(h) },
            SingleRequest { json: owned("{name: 1}"), ..get(h) },
            SingleRequest { json: owned("{\"id\": {{id}}}"), ..get(h) },
            SingleRequest { form: vec!["a".to_owned()], ..get(h) },
            SingleRequest { body: owned("@/nowhere/file"), ..get(h) },
            SingleRequest { data: Some("/nowhere/rows.csv".into()), ..get(h) },
            SingleRequest { expect_status: Some(42), ..get(h) },
            SingleRequest { expect_json: owned("ok"), ..get(h) },
            SingleRequest { expect_body: owned("ok"), expect_size: Some(2), ..get(h) },
        ];
        let said: Vec<String> =
            requests.iter().map(|request| single(request).unwrap_err().to_string()).collect();
        insta::assert_snapshot!("single_errors", said.join("\n\n"));
    }
}

mod recordings {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/traffic/fixtures").join(name)
    }

    fn told(requests: &Requests) -> String {
        let left: Vec<String> = requests.left_out.iter().map(LeftOut::to_string).collect();
        format!("{}\n\nat {:?}\n\n{}", shown(&requests.traffic), requests.recorded, left.join("\n"))
    }

    #[test]
    fn what_browsers_write_is_read() {
        insta::assert_snapshot!("chromium", told(&read_requests(&fixture("chromium.har"), None).unwrap()));
        insta::assert_snapshot!("firefox", told(&read_requests(&fixture("firefox.har"), None).unwrap()));
    }

    #[test]
    fn every_entry_is_sent_or_counted() {
        let text = fs::read_to_string(fixture("chromium.har")).unwrap();
        let entries = text.matches("\"startedDateTime\"").count() - 1;
        let requests = read_har(&fixture("chromium.har"), None).unwrap();
        let sent = requests.recorded.as_ref().unwrap().len();
        let weights: f64 = requests.traffic.kinds.iter().map(|kind| kind.weight).sum();
        let left: usize = requests.left_out.iter().map(|left| left.count).sum();
        assert_eq!((sent + left, weights as usize), (entries, sent));
    }

    #[test]
    fn a_url_takes_its_own_origin_or_gets_the_most_frequent() {
        let read = |url| {
            let requests = read_har(&fixture("chromium.har"), Some(url)).unwrap();
            let first = requests.traffic.kinds[0].requests[0].target.clone();
            (requests.traffic.origin.unwrap().to_string(), first, requests.recorded.unwrap().len())
        };
        assert_eq!(read("https://cdn.example"), ("https://cdn.example".into(), "/font.woff2".into(), 1));
        assert_eq!(read("http://[::1]:8000/v2"), ("http://[::1]:8000".into(), "/v2/".into(), 6));
    }

    fn har(entries: &str) -> Result<Requests, PlanError> {
        let text = format!("\u{feff}{{\"log\": {{\"entries\": [\n{entries}\n]}}}}");
        let folder = folder(&[("a.HAR", &text)]);
        read_requests(&folder.path().join("a.HAR"), None).map_err(|error| relative(error, folder.path()))
    }

    const AT: &str = "\"startedDateTime\": \"2026-11-25T14:30:00Z\"";

    /// Some programs write `null` for what they don't know.
    #[test]
    fn nulls_are_unknown_and_no_error() {
        let entry = |headers: &str, post: &str, response: &str| {
            format!(
                r#"{{"startedDateTime": "2026-11-25T14:30:00.123Z", "request": {{"method": "POST", "url": "http://h/",
                "headers": [{headers}]{post}}}, "response": {response}}}"#
            )
        };
        let form = r#", "postData": {"mimeType": "application/x-www-form-urlencoded",
            "params": [{"name": null, "value": "1"}, {"name": "b", "value": "2"}]}"#;
        for response in [r#"{"status": null}"#, "{}", "null"] {
            let requests = har(&entry("", form, response)).unwrap();
            let request = &requests.traffic.kinds[0].requests[0];
            assert_eq!((request.body.as_slice(), requests.left_out.len()), (&b"=1&b=2"[..], 0));
            assert_eq!(request.expect.status, ExpectStatus::Success, "{response}");
        }
        // A header without a name can't be sent: it is said.
        let error = har(&entry(r#"{"name": null, "value": "x"}"#, "", "{}")).unwrap_err().to_string();
        assert!(error.contains("header that can't be sent"), "{error}");
    }

    #[test]
    fn bodies_are_whole_or_the_entry_is_left_out() {
        let post = |data: &str, length: &str| {
            let headers = if length.is_empty() {
                String::new()
            } else {
                format!(", \"headers\": [{{\"name\": \"Content-Length\", \"value\": \"{length}\"}}]")
            };
            let entry = format!(
                "{{{AT}, \"request\": {{\"method\": \"POST\", \"url\": \"http://h/\"{headers}{data}}}}}"
            );
            har(&entry).map(|requests| requests.traffic.kinds[0].requests[0].body.clone()).ok()
        };
        let base64 = ", \"postData\": {\"text\": \"/wAB\", \"encoding\": \"base64\"}";
        assert_eq!(post(base64, "3").as_deref(), Some(&b"\xff\0\x01"[..]));
        assert_eq!(post(", \"postData\": {\"text\": \"abc\"}", "4"), None, "cut");
        assert_eq!(post(", \"postData\": {\"text\": \"\"}", "0").as_deref(), Some(&b""[..]));
        assert_eq!(post("", "10"), None, "not in the file");
        assert_eq!(post(", \"bodySize\": 10", ""), None, "not in the file");
        let params = |kind: &str| {
            format!(
                ", \"postData\": {{\"mimeType\": \"{kind}\", \"params\": [{{\"name\": \"a b\", \"value\": \"&\"}}]}}"
            )
        };
        let form = params("application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(post(&form, "").as_deref(), Some(&b"a+b=%26"[..]));
        assert_eq!(post(&params("multipart/form-data"), ""), None);
        let nulls = ", \"postData\": {\"mimeType\": null, \"params\": null, \"text\": \"a\"}";
        assert_eq!(post(nulls, "").as_deref(), Some(&b"a"[..]));
    }

    #[test]
    fn recorded_braces_are_no_placeholders_and_a_header_can_not_be_broken() {
        let entry = |value: &str| {
            format!(
                "{{{AT}, \"request\": {{\"method\": \"GET\", \"url\": \"http://h/{{{{id}}}}\", \"headers\": \
                 [{{\"name\": \"X\", \"value\": \"{value}\"}}]}}}}"
            )
        };
        let requests = har(&entry("{{x}}")).unwrap();
        let request = &requests.traffic.kinds[0].requests[0];
        assert_eq!((request.target.as_str(), request.headers[0].1.as_str()), ("/%7B%7Bid%7D%7D", "{{x}}"));
        let error = har(&entry("a\\r\\nY: b")).unwrap_err().to_string();
        assert!(error.contains("with a method, path or header that can't be sent: 1"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_example() {
        let socket = format!("{{{AT}, \"request\": {{\"method\": \"GET\", \"url\": \"ws://h/\"}}}}");
        let cases = [
            "",
            &socket,
            "{},",
            "{\"startedDateTime\": \"yesterday\", \"request\": {\"method\": \"GET\", \"url\": \"http://h/\"}}",
            "{\"startedDateTime\": \"2026-11-25T14:30:00Z\",\n\"request\": {\"method\": \"GET\"}}",
        ];
        insta::assert_snapshot!("har_errors", said(&cases, har));
    }
}

mod replays {
    use super::*;

    fn replay(text: &str) -> Result<Replay, PlanError> {
        let traffic = mix(
            "[[request]]\nname = \"page\"\nweight = 3\npath = \"/{{id}}\"\ndata = \"people.csv\"\n[[request]]\nname = \
             \"create\"\npath = \"/\"\n",
        );
        let folder = folder(&[("times.csv", text)]);
        read_replay(&folder.path().join("times.csv"), &traffic.unwrap())
            .map_err(|error| relative(error, folder.path()))
    }

    fn ms(text: &str) -> Vec<(u128, usize)> {
        replay(text).unwrap().into_iter().map(|(at, request)| (at.as_millis(), request)).collect()
    }

    #[test]
    fn names_numbers_and_units() {
        // The flattened list: 0 and 1 are the rows of `page`, 2 is `create`.
        let right = [(0, 0), (250, 2), (260, 1), (1500, 0)];
        assert_eq!(ms("at,request\n0,page\n0.25,create\n260ms,page\n1.5,1\n"), right);
        assert_eq!(
            ms("request,at\r\ncreate,0.25\r\npage,1.5\r\n1,0\r\npage,260ms\r\n"),
            right,
            "in any order"
        );
        assert_eq!(ms("# no header\n0,1\n0.25,2\n\n0.26,1\n1.5s,1\n"), right);
    }

    #[test]
    fn without_names_kinds_come_by_their_weights() {
        let requests = |text: &str| ms(text).into_iter().map(|(_, request)| request).collect::<Vec<_>>();
        assert_eq!(requests("at\n0\n1\n2\n3\n4\n5\n6\n7\n"), [0, 1, 2, 0, 1, 0, 2, 1]);
        assert_eq!(requests("0\n1\n2\n3\n"), [0, 1, 2, 0]);
    }

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_example() {
        let cases = [
            "",
            "at,request\n",
            "time,request\n0,page\n",
            "at,kind\n0,page\n",
            "0\n-1\n",
            "0\n1 s\n",
            "0\nNaN\n",
            "0\n1e3\n",
            "0\n1764081000.3\n",
            "at,request\n0,page\n\n1\n",
            "at,request\n0,pages\n",
            "at,request\n0,3\n",
            "at,request\n0,0\n",
        ];
        insta::assert_snapshot!("replay_errors", said(&cases, replay));
    }
}

mod escaping {
    use super::*;

    /// Cells that try to break out of where they stand.
    fn cell() -> impl Strategy<Value = String> {
        let nasty = prop::sample::select(vec![
            "\"",
            "'",
            "\\",
            "\r\n",
            "\n",
            "\r",
            "\0",
            "{{",
            "}}",
            "{{id}}",
            " ",
            "/",
            "?",
            "#",
            "&",
            "=",
            "%",
            "%00",
            "..",
            "HTTP/1.1",
            "\r\n\r\nGET /",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "ü",
            "🦀",
            "\",\"x\":\"",
            ",",
            ";",
            "\t",
        ]);
        let any = any::<char>().prop_map(String::from);
        let part = prop_oneof![3 => nasty.prop_map(str::to_owned), 1 => any];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    fn read(rest: &str, cells: &[String]) -> Result<Traffic, PlanError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        // A second column, for a row of one empty cell would be an empty line.
        writer.write_record(["a", "b"]).unwrap();
        cells.iter().for_each(|cell| writer.write_record([cell, "b"]).unwrap());
        let rows = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let text = format!("[[request]]\ndata = \"rows.csv\"\n{rest}");
        mix_of(&[("mix.toml", &text), ("rows.csv", &rows)])
    }

    proptest! {
        #[test]
        fn no_cell_leaves_its_place(cells in prop::collection::vec(cell(), 1..5)) {
            let rest = "path = \"/a/{{a}}/b?c={{a}}&d=1\"\njson = { k = \"<{{a}}>\", l = [\"{{a}}\"] }\n\
                        expect = { json = { k = \"{{a}}\" } }";
            let traffic = read(rest, &cells).unwrap();
            prop_assert_eq!(traffic.kinds[0].requests.len(), cells.len());
            for (request, cell) in traffic.kinds[0].requests.iter().zip(&cells) {
                let url = url::Url::parse(&format!("http://h{}", request.target)).unwrap();
                prop_assert!(request.target.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(url.fragment(), None);
                let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
                prop_assert_eq!(pairs, [("c".to_owned(), cell.clone()), ("d".to_owned(), "1".to_owned())]);
                let segments: Vec<&str> = request.target.split('?').next().unwrap().split('/').collect();
                prop_assert_eq!(segments.len(), 4);
                let segment = percent_encoding::percent_decode_str(segments[2]).decode_utf8().unwrap();
                prop_assert_eq!(segment.as_ref(), cell);
                let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                prop_assert_eq!(body, serde_json::json!({"k": format!("<{cell}>"), "l": [cell]}));
                let right = ExpectBody::Json(serde_json::json!({"k": cell}));
                prop_assert_eq!(&request.expect.body, &right);
            }
        }

        #[test]
        fn a_form_gives_its_fields_back(cell in cell()) {
            let traffic = read("path = \"/\"\nform = { x = \"{{a}}\", \"{{a}}\" = \"y\" }", std::slice::from_ref(&cell));
            let body = traffic.unwrap().kinds[0].requests[0].body.clone();
            let fields: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
            prop_assert_eq!(fields, [("x".to_owned(), cell.clone()), (cell, "y".to_owned())]);
        }

        #[test]
        fn a_header_has_one_line_or_is_refused(cell in cell()) {
            let is_bad = cell.chars().any(|c| c.is_ascii_control() && c != '\t');
            match read("path = \"/\"\nheaders = { X = \"<{{a}}>\" }", std::slice::from_ref(&cell)) {
                Ok(traffic) => {
                    prop_assert!(!is_bad);
                    prop_assert_eq!(&traffic.kinds[0].requests[0].headers[0].1, &format!("<{cell}>"));
                }
                Err(error) => {
                    prop_assert!(is_bad, "{}", error);
                    prop_assert!(error.to_string().contains("rows.csv:2: "));
                }
            }
        }

        #[test]
        fn a_raw_path_has_one_line_or_is_refused(cell in cell()) {
            if let Ok(traffic) = read("path = \"/{{a:raw}}\"", &[cell]) {
                let target = &traffic.kinds[0].requests[0].target;
                prop_assert!(target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }

        #[test]
        fn nothing_that_is_typed_panics(text in ".{0,40}") {
            let _ = text.parse::<Address>();
            let _ = text.parse::<Stages>();
            let _ = text.parse::<Slos>();
            let _ = parse_header(&text);
            let _ = mix(&text);
            let _ = single(&SingleRequest { url: format!("http://h/{text}"), body: Some(text), ..SingleRequest::default() });
        }
    }
}

/// The user's page says nothing that isn't read.
mod page {
    use super::*;

    /// Fenced blocks with what stands behind the fence: `("csv people.csv", "…")`.
    fn blocks(page: &str) -> Vec<(String, String)> {
        let mut blocks = Vec::new();
        let mut open: Option<(String, String)> = None;
        for line in page.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => open = Some((info.to_owned(), String::new())),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some((_, text)), None) => *text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        blocks
    }

    /// A command's words, as a shell takes them apart.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                c => word.push(c),
            }
        }
        words.push(word);
        words
    }

    /// Reads what the command would, in `folder`.
    fn obey(command: &str, folder: &Path) -> Vec<String> {
        let mut request = SingleRequest::default();
        let (mut file, mut replay) = (None, None);
        let mut words = words(command).into_iter().skip(2);
        let mut seen = Vec::new();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                request.url = word;
                continue;
            };
            seen.push(flag.to_owned());
            let value = words.next().unwrap();
            match flag {
                "header" => request.headers.push(value),
                "form" => request.form.push(value),
                "method" => request.method = Some(value),
                "body" => request.body = Some(value),
                "json" => request.json = Some(value),
                "data" => request.data = Some(folder.join(value)),
                "expect-status" => request.expect_status = Some(value.parse().unwrap()),
                "expect-body" => request.expect_body = Some(value),
                "expect-json" => request.expect_json = Some(value),
                "mix" => file = Some(folder.join(value)),
                "replay" if value.ends_with(".har") => file = Some(folder.join(value)),
                "replay" => replay = Some(folder.join(value)),
                "stages" => assert!(value.parse::<Stages>().is_ok(), "{value}"),
                "slo" => assert!(value.parse::<Slos>().is_ok(), "{value}"),
                "redirects" => assert!(value.parse::<u32>().is_ok(), "{value}"),
                "rate" => assert!(value.parse::<dyno_model::Rate>().is_ok(), "{value}"),
                _ => panic!("{command}: the test doesn't know --{flag}"),
            }
        }
        let url = (!request.url.is_empty()).then_some(request.url.as_str());
        let traffic = match file {
            Some(file) => read_requests(&file, url).map(|requests| requests.traffic),
            None => single(&request),
        };
        let traffic = traffic.unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(traffic.origin.is_some(), "{command}");
        if let Some(replay) = replay {
            assert!(!read_replay(&replay, &traffic).unwrap().is_empty(), "{command}");
        }
        seen
    }

    #[test]
    fn every_example_is_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = fs::read_to_string(root.join("../../docs/load-traffic.md")).unwrap();
        let blocks = blocks(&page);
        let folder = folder(&[]);
        fs::copy(root.join("src/traffic/fixtures/chromium.har"), folder.path().join("shop.har")).unwrap();
        let mut commands = Vec::new();
        for (info, text) in &blocks {
            match info.split_once(' ') {
                Some((_, file)) => fs::write(folder.path().join(file), text).unwrap(),
                None => {
                    assert_eq!(info, "sh", "a block that nobody reads");
                    commands.extend(text.lines());
                }
            }
        }
        let seen: Vec<String> = commands.iter().flat_map(|command| obey(command, folder.path())).collect();
        for flag in ["mix", "replay", "stages", "slo", "data", "json", "form", "body", "header"] {
            assert!(seen.iter().any(|one| one == flag), "the page shows no --{flag}");
        }
    }
}
