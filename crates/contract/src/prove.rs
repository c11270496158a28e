//! One stack against all cases.

use std::{collections::BTreeMap, net::SocketAddr, thread};

use dyno_model::{
    Operation, StackName,
    check::{CheckOutcome, CheckRow, SchemaDifference},
};
use postgres::NoTls;
use serde_json::{Value, json};

use crate::{
    Cases, Truth,
    cases::{Case, Page},
    difference::{difference, shorten},
    http::{Answer, Client},
    schema::{Differs, compare},
    statements,
    tasks::{task, tasks_at_once},
};

/// A stack that is up.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The stack.
    pub stack: &'a StackName,
    /// Where it answers.
    pub address: SocketAddr,
    /// Operations that its manifest doesn't offer, with the reason.
    pub not_offered: &'a BTreeMap<Operation, String>,
    /// Where the app's framework puts its own OpenAPI document, if it makes one.
    pub openapi: Option<&'a str>,
}

/// What came of the cases.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// One row for each operation of the contract.
    pub rows: Vec<CheckRow>,
    /// Answers whose value the contract fixes, by request, for comparing across stacks.
    pub answers: BTreeMap<String, Value>,
    /// The answer to `/about`.
    pub about: BTreeMap<String, String>,
    /// Where the app's own OpenAPI document differs from the contract's.
    pub differences: Vec<SchemaDifference>,
}

/// Requests whose statements are counted.
const COUNTED: usize = 5;
/// Tasks that are started one after the other: the smallest, and one that is work.
const TASKS: [u64; 3] = [0, 1, 20];
/// Requests at once.
const PARALLEL: usize = 200;

/// What `/about` must tell.
const FACTS: [&str; 15] = [
    "app",
    "framework",
    "framework_version",
    "server",
    "server_version",
    "interpreter",
    "implementation",
    "gil",
    "event_loop",
    "driver",
    "driver_version",
    "pid",
    "workers",
    "threads",
    "pool_size",
];

struct Prover<'a> {
    subject: Subject<'a>,
    client: Client,
    database_url: &'a str,
    /// Opened by whoever needs it first.
    database: Option<postgres::Client>,
    truth: &'a Truth,
    answers: BTreeMap<String, Value>,
    about: BTreeMap<String, String>,
}

/// Runs every case against a stack that is up, and restores the rows that the cases stored. Before each operation `go_on` is
/// asked; once it says no, the rest isn't tried, and what there is by then is no proof.
pub fn prove(
    subject: Subject<'_>,
    cases: &Cases,
    truth: &Truth,
    database_url: &str,
    go_on: &mut dyn FnMut(Operation) -> bool,
) -> Proof {
    let client = Client::new(subject.address);
    let mut prover = Prover {
        subject,
        client,
        database_url,
        database: None,
        truth,
        answers: BTreeMap::new(),
        about: BTreeMap::new(),
    };
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        if !go_on(operation) {
            return Proof { rows, ..Proof::default() };
        }
        rows.push(match subject.not_offered.get(&operation) {
            Some(reason) => row(subject.stack, operation, CheckOutcome::NotOffered, reason.clone()),
            None => prover.operation(operation, cases),
        });
    }
    let differences = prover.documented(&cases.document, &mut rows);
    Proof { rows, answers: prover.answers, about: prover.about, differences }
}

fn row(stack: &StackName, operation: Operation, outcome: CheckOutcome, detail: String) -> CheckRow {
    CheckRow { stack: stack.clone(), operation, outcome, detail }
}

fn fail(row: &mut CheckRow, why: &str) {
    row.detail =
        if row.outcome == CheckOutcome::Fail { format!("{}; {why}", row.detail) } else { why.to_owned() };
    row.outcome = CheckOutcome::Fail;
}

impl Prover<'_> {
    fn operation(&mut self, operation: Operation, cases: &Cases) -> CheckRow {
        let mut tried = 0;
        let mut failures = Vec::new();
        let mut note = String::new();
        for case in cases.of(operation) {
            tried += 1;
            if let Err(failure) = self.case(case) {
                failures.push(failure);
            }
        }
        let more: Vec<Result<String, String>> = match operation {
            Operation::About => vec![self.facts()],
            Operation::Types => vec![self.statements("/types", 1)],
            Operation::ContactsFor => vec![self.statements("/contacts/for?limit=20", 3)],
            Operation::ContactsFetch => vec![self.statements("/contacts/fetch?limit=20", 3), self.parallel()],
            Operation::ContactCreate => vec![self.restore()],
            Operation::TaskStart => TASKS.map(|n| self.task(n)).to_vec(),
            Operation::TaskResult => vec![tasks_at_once(&self.client).map(|()| String::new())],
            _ => Vec::new(),
        };
        for result in more {
            tried += 1;
            match result {
                Ok(words) if words.is_empty() => {}
                Ok(words) => note = format!("; {words}"),
                Err(failure) => failures.push(failure),
            }
        }
        if tried == 0 {
            let detail = "offered, and no case proves it".to_owned();
            return row(self.subject.stack, operation, CheckOutcome::Fail, detail);
        }
        if failures.is_empty() {
            return row(self.subject.stack, operation, CheckOutcome::Pass, format!("{tried} cases{note}"));
        }
        let detail = format!("{} of {tried} cases failed: {}", failures.len(), failures.join("; "));
        row(self.subject.stack, operation, CheckOutcome::Fail, detail)
    }

    /// Compares the app's own OpenAPI document. An operation that it lacks fails, for nobody finds it there.
    fn documented(&self, contract: &Value, rows: &mut [CheckRow]) -> Vec<SchemaDifference> {
        let Some(path) = self.subject.openapi else { return Vec::new() };
        let document = self.client.ask("GET", path, None).and_then(|answer| match answer.status {
            // Some say `application/vnd.oai.openapi+json`.
            200 => serde_json::from_slice(&answer.body).map_err(|error| format!("not JSON: {error}")),
            status => Err(format!("status {status}")),
        });
        let document = match document {
            Ok(document) => document,
            Err(error) => {
                let version = rows.iter_mut().find(|row| row.operation == Operation::Version);
                if let Some(row) = version {
                    fail(row, &format!("its OpenAPI document at {path}: {error}"));
                }
                return Vec::new();
            }
        };
        let found = compare(contract, &document);
        for missing in found.missing {
            let operation = missing.id.strip_suffix("_post").unwrap_or(&missing.id);
            for row in rows.iter_mut().filter(|row| row.operation.name() == operation) {
                if row.outcome != CheckOutcome::NotOffered {
                    fail(row, &format!("{} isn't in its OpenAPI document", missing.operation));
                }
            }
        }
        let difference = |one: Differs| SchemaDifference {
            stack: self.subject.stack.clone(),
            operation: one.operation,
            place: one.part,
            contract: one.contract,
            app: one.app,
        };
        found.differences.into_iter().map(difference).collect()
    }

    fn case(&mut self, case: &Case) -> Result<(), String> {
        let (method, target) = case.method_and_target(self.truth.last());
        let request = format!("{method} {target}");
        let wrong = |what: String| match &case.send {
            Some(send) => format!("{} with {}: {what}", shorten(&request), shorten(send)),
            None => format!("{}: {what}", shorten(&request)),
        };
        let body = case.body();
        let body = body.as_ref().map(|(content_type, body)| (content_type.as_str(), body.as_slice()));
        let before = case.stores.map(|_| self.count_contacts()).transpose().map_err(&wrong)?;
        // Whoever refuses a body without reading it closes the connection, which must not meet the next request.
        let client = if case.cut { &Client::new(self.subject.address) } else { &self.client };
        let answer = client.ask(&method, &target, body);
        if let Some(before) = before {
            let stored = answer.as_ref().is_ok_and(|answer| answer.status == 201);
            let grown = self.count_contacts().map_err(&wrong)? - before;
            if grown != i64::from(stored) {
                let status = answer.map_or_else(|error| error, |answer| format!("status {}", answer.status));
                return Err(wrong(format!("{grown} contacts stored, and {status}")));
            }
        }
        let answer = match answer {
            Err(_) if case.cut => return Ok(()),
            answer => answer.map_err(&wrong)?,
        };
        if !case.statuses().contains(&answer.status) {
            let text = shorten(&String::from_utf8_lossy(&answer.body));
            return Err(wrong(format!("status {} instead of {:?}: {text}", answer.status, case.statuses())));
        }
        if case.detail || answer.status == 422 {
            return has_detail(&answer).map_err(wrong);
        }
        if answer.status >= 300 {
            return Ok(());
        }
        if let Some(expected) = &case.full_text() {
            return self.text(case, expected, &answer).map_err(wrong);
        }
        if case.stores.is_some() {
            return self.stored(case, &answer).map_err(wrong);
        }
        let pages = case.page.iter().chain(&case.either).map(|page| self.truth.page(page));
        let contact = case.contact.as_ref().and_then(|id| {
            let id = id.replace("{last}", &self.truth.last().to_string());
            self.truth.contact(id.parse().ok()?).cloned()
        });
        let right: Vec<Value> =
            case.json_value(&self.subject.stack.app).into_iter().chain(pages).chain(contact).collect();
        let Some(first) = right.first() else { return Ok(()) };
        let got = json_body(&answer).map_err(&wrong)?;
        if !right.contains(&got) {
            return Err(wrong(difference(first, &got).unwrap_or_default()));
        }
        if right.len() == 1 && !target.starts_with("/heartbeat") {
            self.answers.insert(request, got);
        }
        Ok(())
    }

    fn text(&self, case: &Case, expected: &str, answer: &Answer) -> Result<(), String> {
        let wanted = if case.request.contains("/v2/") { "text/html; charset=utf-8" } else { "text/plain" };
        let content_type = answer.content_type.to_lowercase().replace("; ", ";");
        if !content_type.starts_with(&wanted.replace("; ", ";")) {
            return Err(format!("content type {:?} instead of {wanted:?}", answer.content_type));
        }
        let got = String::from_utf8_lossy(&answer.body);
        if got == expected { Ok(()) } else { Err(format!("{:?} instead of {expected:?}", shorten(&got))) }
    }

    /// A stored contact is what was sent, and reading it gives the same.
    fn stored(&self, case: &Case, answer: &Answer) -> Result<(), String> {
        let sent = case.json.as_deref().or(case.send.as_deref());
        let sent: Value = sent.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let got = json_body(answer)?;
        let type_names = ["Relatives", "Friends", "Colleagues"];
        let type_id = sent["type_id"].as_u64().unwrap_or(1);
        let list = |name: &str| sent.get(name).cloned().unwrap_or_else(|| json!([]));
        let expected = json!({
            "contact_id": got["contact_id"],
            "first_name": sent["first_name"],
            "last_name": sent["last_name"],
            "contact_type": {"type_id": type_id, "type_name": type_names.get(type_id as usize - 1)},
            "phones": list("phones"),
            "emails": list("emails"),
        });
        if let Some(found) = difference(&expected, &got) {
            return Err(found);
        }
        let read = self.client.ask("GET", &format!("/contacts/{}", got["contact_id"]), None)?;
        match difference(&got, &json_body(&read)?) {
            None => Ok(()),
            Some(found) => Err(format!("read back: {found}")),
        }
    }

    fn database(&mut self) -> Result<&mut postgres::Client, String> {
        let client = match self.database.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => postgres::Client::connect(self.database_url, NoTls).map_err(database_words)?,
        };
        Ok(self.database.insert(client))
    }

    fn count_contacts(&mut self) -> Result<i64, String> {
        let row = self.database()?.query_one("select count(*) from contacts", &[]);
        Ok(row.map_err(database_words)?.get(0))
    }

    /// Takes away what the cases stored, so that every stack sees the same rows and hands out the same numbers.
    fn restore(&mut self) -> Result<String, String> {
        let last = self.truth.last();
        let client = self.database()?;
        client.execute("delete from contacts where contact_id > $1", &[&last]).map_err(database_words)?;
        let reset = "select setval('contacts_contact_id_seq', (select max(contact_id) from contacts)), \
            setval('contact_phones_phone_id_seq', (select max(phone_id) from contact_phones)), \
            setval('contact_emails_email_id_seq', (select max(email_id) from contact_emails))";
        client.batch_execute(reset).map_err(database_words)?;
        let left = self.count_contacts()?;
        if left == self.truth.len() as i64 {
            Ok(String::new())
        } else {
            Err(format!("{left} contacts are left after the cases"))
        }
    }

    fn facts(&mut self) -> Result<String, String> {
        let answer =
            self.client.ask("GET", "/about", None).map_err(|error| format!("GET /about: {error}"))?;
        let about = json_body(&answer).map_err(|error| format!("GET /about: {error}"))?;
        let missing: Vec<&str> = FACTS.into_iter().filter(|fact| about.get(fact).is_none()).collect();
        if !missing.is_empty() {
            return Err(format!("GET /about: {} missing", missing.join(", ")));
        }
        if about["app"] != *self.subject.stack.app {
            return Err(format!(
                "GET /about: app is {} instead of {:?}",
                about["app"], self.subject.stack.app
            ));
        }
        for (name, value) in about.as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.about.insert(name.clone(), text);
        }
        Ok(String::new())
    }

    fn statements(&self, target: &str, each: i64) -> Result<String, String> {
        let mut failed = None;
        let counted = statements::count(self.database_url, &mut || {
            for _ in 0..COUNTED {
                failed = failed.take().or(self.client.ask("GET", target, None).err());
            }
        });
        match (counted, failed) {
            (_, Some(failure)) => Err(format!("GET {target}: {failure}")),
            (Err(why), None) => Ok(format!("statements not counted: {why}")),
            (Ok(count), None) if count == each * COUNTED as i64 => Ok(format!("{each} statements each")),
            (Ok(count), None) => {
                let got = count as f64 / COUNTED as f64;
                Err(format!("GET {target}: {got} statements each instead of {each}"))
            }
        }
    }

    fn task(&self, n: u64) -> Result<String, String> {
        task(&self.client, n).map(|()| String::new())
    }

    /// Many requests at once, each with an answer of its own.
    fn parallel(&self) -> Result<String, String> {
        let (client, truth) = (&self.client, self.truth);
        let ask = |index: usize| {
            let offset = index % truth.len().max(1);
            let target = format!("/contacts/fetch?limit=3&offset={offset}");
            let answer = client.ask("GET", &target, None)?;
            let expected = truth.page(&Page { limit: 3, offset, starts: String::new() });
            match difference(&expected, &json_body(&answer)?) {
                None => Ok(()),
                Some(found) => Err(format!("{target}: {found}")),
            }
        };
        let results: Vec<Result<(), String>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..PARALLEL).map(|index| scope.spawn(move || ask(index))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err("panicked".to_owned())))
                .collect()
        });
        let failures: Vec<String> = results.into_iter().filter_map(Result::err).collect();
        match failures.first() {
            None => Ok(String::new()),
            Some(first) => Err(format!("{} of {PARALLEL} requests at once failed: {first}", failures.len())),
        }
    }
}

fn database_words(error: postgres::Error) -> String {
    format!("the database: {error}")
}

fn json_body(answer: &Answer) -> Result<Value, String> {
    if !answer.content_type.starts_with("application/json") {
        return Err(format!("content type {:?} instead of \"application/json\"", answer.content_type));
    }
    let text = || shorten(&String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).map_err(|error| format!("not JSON ({error}): {}", text()))
}

fn has_detail(answer: &Answer) -> Result<(), String> {
    let body = json_body(answer)?;
    if body.get("detail").is_some() { Ok(()) } else { Err("no `detail` in the answer".to_owned()) }
}

/// Where two stacks answer the same request differently: each against the first that was proven.
pub fn compare_answers(proofs: &[(StackName, Proof)]) -> Vec<String> {
    let Some(((first_name, first), rest)) = proofs.split_first() else { return Vec::new() };
    let mut found = Vec::new();
    for (name, proof) in rest {
        for (request, answer) in &proof.answers {
            let difference = first.answers.get(request).and_then(|expected| difference(expected, answer));
            found.extend(difference.map(|what| format!("{request}: {name} and {first_name} differ: {what}")));
        }
    }
    found
}
