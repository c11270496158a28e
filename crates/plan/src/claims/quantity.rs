//! `metric(stack, key=value)`, checked against the catalogue.

use std::ops::Range;

use dyno_model::{
    Operation, Rate, Slo, StackName,
    catalogue::Language,
    claim::{ClaimMetric, Quantity, Settings},
    slo::Limit,
};

use super::text::{Cursor, Fail};
use crate::{Catalogue, PlanError, file::MEASURABLE, read_interpreters};

pub(super) const OP_EXAMPLE: &str = "default op = contacts_fetch";
const QUANTITY: &str = "throughput(flask/gunicorn, op=types, workers=2)";
const KEYS: [&str; 6] = ["op", "workers", "threads", "connections", "rate", "slo"];
/// What is asked where neither quantity nor file says it: a page of contacts, fetched at once, is what most APIs do.
const OPERATION: Operation = Operation::ContactsFetch;

/// What claims may speak of.
pub struct Known<'a> {
    catalogue: &'a Catalogue,
    /// Names of all interpreters that dyno can fetch or has locks for.
    interpreters: Vec<String>,
}

/// Settings as written, not yet complete.
#[derive(Clone, Default)]
pub struct Draft {
    op: Option<Operation>,
    workers: Option<u32>,
    threads: Option<u32>,
    connections: Option<u32>,
    rate: Option<Rate>,
    slo: Option<Slo>,
    /// The keys that were written, and where.
    keys: Vec<(&'static str, Range<usize>)>,
}

impl<'a> Known<'a> {
    /// What the catalogue holds.
    pub fn new(catalogue: &'a Catalogue) -> Result<Self, PlanError> {
        let mut interpreters = catalogue.interpreters();
        let fetched = read_interpreters(&catalogue.folder)?.interpreter.into_iter().map(|one| one.name);
        interpreters.extend(fetched);
        Ok(Self { catalogue, interpreters })
    }

    /// `metric "(" stack ("," key "=" value)* ")"`
    pub fn quantity(&self, cursor: &mut Cursor<'_>, defaults: &Draft) -> Result<Quantity, Fail> {
        let start = cursor.here();
        let (word, span) = cursor.word();
        if word.is_empty() {
            return Err(cursor.unexpected("a quantity", QUANTITY));
        }
        let metric = word.parse::<ClaimMetric>().map_err(|error| {
            let near = nearest(word, ClaimMetric::names().into_iter().map(str::to_owned), 1);
            Fail::new(span, with_near(error.to_string(), &near), QUANTITY)
        })?;
        cursor.expect('(', "and the stack", QUANTITY)?;
        let (stack, stack_span) = self.stack(cursor)?;
        let mut draft = Draft::default();
        while cursor.take(',') {
            draft.setting(cursor, |c| !matches!(c, ',' | ')' | '\n' | '#'), QUANTITY)?;
        }
        cursor.expect(')', "or `,` and a setting", QUANTITY)?;
        let settings = draft.settle(metric, defaults, start..cursor.behind())?;
        let quantity = Quantity { metric, stack, settings };
        let op_span = draft.keys.iter().find(|(key, _)| *key == "op").map(|(_, span)| span.clone());
        self.offers(&quantity, op_span.unwrap_or(stack_span))?;
        Ok(quantity)
    }

    /// A stack of the catalogue, and where it stands.
    pub fn stack(&self, cursor: &mut Cursor<'_>) -> Result<(StackName, Range<usize>), Fail> {
        let example = "flask/uwsgi/nginx@3.13";
        let (text, span) = cursor
            .take_while(|c| c.is_alphanumeric() || matches!(c, '/' | '@' | '.' | '_' | '-' | '+' | '*'));
        if text.is_empty() {
            return Err(cursor.unexpected("a stack", example));
        }
        let fail = |message: String| Fail::new(span.clone(), message, example);
        let stack: StackName = text.parse().map_err(|error| fail(format!("{error}")))?;
        if let Err(error) = self.catalogue.resolve(&stack) {
            return Err(fail(with_near(self.why_unknown(&stack, error), &self.near_stacks(&stack))));
        }
        if let Some(interpreter) = &stack.interpreter
            && !self.interpreters.contains(interpreter)
        {
            let near = nearest(interpreter, self.interpreters.iter().cloned(), 3);
            return Err(fail(with_near(format!("no interpreter is called `{interpreter}`"), &near)));
        }
        Ok((stack, span))
    }

    /// The catalogue's reason, without its list of all apps: the nearest stacks follow.
    fn why_unknown(&self, stack: &StackName, error: PlanError) -> String {
        let has_app = self.catalogue.stacks().iter().any(|one| one.name.app == stack.app);
        match error {
            PlanError::UnknownStack { name, message } if has_app => {
                format!("no stack is called `{name}`: {message}")
            }
            _ => format!("no stack is called `{stack}`"),
        }
    }

    /// Stacks of the catalogue whose names are like this one's, with its kind of front and its interpreter.
    fn near_stacks(&self, stack: &StackName) -> Vec<String> {
        let mut candidates = Vec::new();
        for one in self.catalogue.stacks() {
            let python = one.app.app.language == Language::Python;
            let interpreter = stack.interpreter.clone().filter(|_| python);
            candidates.push(StackName { interpreter: interpreter.clone(), ..one.name.clone() });
            if stack.front.is_some() {
                candidates.extend(self.catalogue.fronts().map(|front| StackName {
                    front: Some(front.to_owned()),
                    interpreter: interpreter.clone(),
                    ..one.name.clone()
                }));
            }
        }
        let fits = candidates.iter().filter(|name| self.catalogue.resolve(name).is_ok());
        nearest(&stack.to_string(), fits.map(StackName::to_string), 3)
    }

    /// An operation that the quantity's stack offers.
    pub fn offers(&self, quantity: &Quantity, span: Range<usize>) -> Result<(), Fail> {
        let op = quantity.settings.op;
        let Ok(stack) = self.catalogue.resolve(&quantity.stack) else { return Ok(()) };
        match stack.app.app.not_offered.get(&op) {
            None => Ok(()),
            Some(because) => Err(Fail::new(
                span,
                format!("`{}` doesn't offer `{op}`: {because}", quantity.stack),
                QUANTITY,
            )),
        }
    }
}

impl Draft {
    /// `key "=" value`; a value's characters are those that fit.
    pub fn setting(
        &mut self,
        cursor: &mut Cursor<'_>,
        fits: impl Fn(char) -> bool,
        example: &str,
    ) -> Result<(), Fail> {
        let (word, span) = cursor.word();
        if word.is_empty() {
            return Err(cursor.unexpected("a setting", example));
        }
        let Some(key) = KEYS.into_iter().find(|key| *key == word) else {
            let near = nearest(word, KEYS.into_iter().map(str::to_owned), 1);
            let message = format!("no setting is called `{word}`: the settings are {}", KEYS.join(", "));
            return Err(Fail::new(span, with_near(message, &near), example));
        };
        if self.keys.iter().any(|(other, _)| *other == key) {
            return Err(Fail::new(span, format!("`{key}` is there twice"), example));
        }
        cursor.expect('=', &format!("and a value for `{key}`"), example)?;
        let (value, at) = cursor.take_while(fits);
        let trimmed = value.trim_end();
        let at = at.start..at.start + trimmed.len();
        if trimmed.is_empty() {
            return Err(cursor.unexpected(&format!("a value for `{key}`"), example));
        }
        self.fill(key, trimmed).map_err(|(message, example)| Fail::new(at.clone(), message, example))?;
        self.keys.push((key, span.start..at.end));
        Ok(())
    }

    fn fill(&mut self, key: &str, value: &str) -> Result<(), (String, &'static str)> {
        match key {
            "op" => self.op = Some(operation(value)?),
            // The same ranges as in plans.
            "workers" => self.workers = Some(count(key, value, 64)?),
            "threads" => self.threads = Some(count(key, value, 256)?),
            "connections" => self.connections = Some(count(key, value, 1000)?),
            "rate" => {
                let with_unit = if value.contains('/') { value.to_owned() } else { format!("{value}/s") };
                let rate = with_unit.parse::<Rate>();
                self.rate =
                    Some(rate.map_err(|_| (format!("`{value}` isn't a rate above zero"), "rate=500/s"))?);
            }
            _ => {
                let slo: Slo = value.parse().map_err(|error| (format!("{error}"), "slo=p99=50ms"))?;
                if !matches!(slo.limit, Limit::Percentile(..)) {
                    let message = format!("`{value}`: a capacity keeps a percentile of the latency");
                    return Err((message, "slo=p99=50ms"));
                }
                self.slo = Some(slo);
            }
        }
        Ok(())
    }

    /// With the file's defaults where they make sense, and refused where a metric lacks or can't have a setting.
    fn settle(&self, metric: ClaimMetric, defaults: &Self, span: Range<usize>) -> Result<Settings, Fail> {
        let (is_percentile, is_capacity) = (metric.quantile().is_some(), metric == ClaimMetric::Capacity);
        let written = |key: &str| self.keys.iter().find(|(other, _)| *other == key).map(|(_, at)| at.clone());
        for (key, wanted, why) in [
            ("rate", is_percentile, "only percentiles are measured at a rate, everything else is saturated"),
            ("slo", is_capacity, "only a capacity keeps an objective"),
        ] {
            if let Some(at) = written(key).filter(|_| !wanted) {
                return Err(Fail::new(at, format!("{metric} can't have `{key}`: {why}"), QUANTITY));
            }
        }
        let settings = Settings {
            op: self.op.or(defaults.op).unwrap_or(OPERATION),
            workers: self.workers.or(defaults.workers),
            threads: self.threads.or(defaults.threads),
            connections: self.connections.or(defaults.connections),
            rate: self.rate.or(defaults.rate).filter(|_| is_percentile),
            slo: self.slo.or(defaults.slo).filter(|_| is_capacity),
        };
        if is_percentile && settings.rate.is_none() {
            let message = format!("{metric} needs the rate at which requests come");
            return Err(Fail::new(span, message, format!("{metric}(flask/gunicorn, rate=100/s)")));
        }
        if is_capacity && settings.slo.is_none() {
            let message = "a capacity needs the objective that it keeps";
            return Err(Fail::new(span, message, "capacity(flask/gunicorn, slo=p99=50ms)"));
        }
        if let (Some(workers), Some(connections)) = (settings.workers, settings.connections)
            && connections < workers
        {
            let message =
                format!("fewer connections ({connections}) than workers ({workers}): each worker needs one");
            return Err(Fail::new(span, message, "throughput(flask/gunicorn, workers=2, connections=8)"));
        }
        Ok(settings)
    }
}

fn operation(value: &str) -> Result<Operation, (String, &'static str)> {
    let op: Operation = value.parse().map_err(|error| {
        let near = nearest(value, Operation::names().into_iter().map(str::to_owned), 1);
        (with_near(format!("{error}"), &near), "op=contacts_fetch")
    })?;
    if !MEASURABLE.contains(&op) {
        return Err((format!("`{op}` is proven by the contract's cases, not timed"), "op=contacts_fetch"));
    }
    Ok(op)
}

fn count(key: &str, value: &str, most: u32) -> Result<u32, (String, &'static str)> {
    let number = value.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| (format!("`{key}={value}` is out of range: 1 to {most}"), "workers=2"))
}

/// Names like `word`, the nearest first, at most `most`.
pub fn nearest(word: &str, names: impl Iterator<Item = String>, most: usize) -> Vec<String> {
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(word, name);
    // Below half of the letters in common it is no mistyping.
    let mut near: Vec<(f64, String)> =
        names.map(|name| (likeness(&name), name)).filter(|(likeness, _)| *likeness >= 0.5).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    near.dedup_by(|a, b| a.1 == b.1);
    near.into_iter().take(most).map(|(_, name)| name).collect()
}

fn with_near(message: String, near: &[String]) -> String {
    if near.is_empty() {
        return message;
    }
    let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!("{message}; did you mean {}?", near.join(", "))
}
