//! Which sessions decide which claims: claims about the same stacks share one, for their blocks serve all of them.

use std::collections::{BTreeMap, BTreeSet};

use dyno_model::{
    Operation, Rate, StackName,
    claim::{Claim, Quantity, SessionRecord, VerdictRecord},
};

/// The stack of a quantity, its settings as a variant.
pub fn stack_of(quantity: &Quantity) -> StackName {
    let mut stack = quantity.stack.clone();
    let settings = &quantity.settings;
    stack.variant.workers = settings.workers.or(stack.variant.workers);
    stack.variant.threads = settings.threads.or(stack.variant.threads);
    stack.variant.connections = settings.connections.or(stack.variant.connections);
    stack
}

/// One session for each set of stacks, in the order of the claims.
pub fn of(files: &[Vec<Claim>]) -> Vec<SessionRecord> {
    let mut sessions: Vec<SessionRecord> = Vec::new();
    for claim in files.iter().flatten() {
        let wanted = session_of(claim);
        let set = |stacks: &[StackName]| stacks.iter().cloned().collect::<BTreeSet<_>>();
        let agrees = |one: &&mut SessionRecord| {
            let differs = |(operation, rate): (&Operation, &Rate)| {
                one.rates.get(operation).is_some_and(|other| other != rate)
            };
            set(&wanted.stacks).is_subset(&set(&one.stacks)) && !wanted.rates.iter().any(differs)
        };
        match sessions.iter_mut().find(agrees) {
            None => sessions.push(wanted),
            Some(one) => {
                one.claims.extend(wanted.claims);
                one.rates.extend(wanted.rates);
                let more = wanted.operations.into_iter().filter(|op| !one.operations.contains(op));
                let more: Vec<Operation> = more.collect();
                one.operations.extend(more);
            }
        }
    }
    sessions
}

fn session_of(claim: &Claim) -> SessionRecord {
    let (mut stacks, mut operations, mut rates) = (Vec::new(), Vec::new(), BTreeMap::new());
    for quantity in claim.quantities() {
        let stack = stack_of(&quantity);
        if !stacks.contains(&stack) {
            stacks.push(stack);
        }
        let operation = quantity.settings.op;
        if !operations.contains(&operation) {
            operations.push(operation);
        }
        if let Some(rate) = quantity.settings.rate {
            rates.entry(operation).or_insert(rate);
        }
    }
    SessionRecord {
        claims: vec![claim.name.clone()],
        stacks,
        operations,
        rates,
        run: None,
        done: false,
        failure: None,
    }
}

/// The claims that a session decides.
pub fn claims_of(record: &VerdictRecord, index: usize) -> Vec<Claim> {
    let names = &record.sessions[index].claims;
    record.claims.iter().flatten().filter(|claim| names.contains(&claim.name)).cloned().collect()
}

/// The sessions in words, for `--dry-run`.
pub fn words(sessions: &[SessionRecord]) -> String {
    let list = |words: Vec<String>| words.join(", ");
    let one = |(index, one): (usize, &SessionRecord)| {
        let operations = list(one.operations.iter().map(ToString::to_string).collect());
        let rates = one.rates.iter().map(|(operation, rate)| format!("; {operation} at {rate}"));
        let stacks = list(one.stacks.iter().map(ToString::to_string).collect());
        let claims: String = one.claims.iter().map(|claim| format!("    {claim}\n")).collect();
        let rates: String = rates.collect();
        format!("session {}: {stacks}\n  {operations}{rates}\n{claims}", index + 1)
    };
    sessions.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dyno_plan::{Catalogue, parse_claims};

    use super::*;

    #[test]
    fn claims_about_the_same_stacks_share_a_session() {
        let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks");
        let text = "claim \"a\": throughput(flask/gunicorn) > throughput(flask/waitress)\n\
                    claim \"b\": p50(flask/waitress, rate=40/s) in (0,9ms)\n\
                    claim \"c\": throughput(flask/gunicorn, workers=1) / throughput(flask/gunicorn, workers=2) in (0,1)\n\
                    claim \"d\": p50(flask/waitress, rate=50/s, op=types) in (0,9ms)\n";
        let claims = parse_claims(Path::new("t.claims"), text, &Catalogue::read(&stacks).unwrap()).unwrap();
        let sessions = of(&[claims]);
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions[0].claims, ["a", "b", "d"]);
        assert_eq!(sessions[0].operations, [Operation::ContactsFetch, Operation::Types]);
        assert_eq!(sessions[0].rates.len(), 2);
        let names: Vec<String> = sessions[1].stacks.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["flask/gunicorn:workers=1", "flask/gunicorn:workers=2"]);
    }
}
