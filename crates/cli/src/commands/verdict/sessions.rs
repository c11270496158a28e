//! Which sessions decide which claims: claims about the same stacks share one, for their blocks serve all of them. Capacities
//! have searches of their own.

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

/// One session for each set of stacks, and one search for each objective of capacities, in the order of the claims.
pub fn of(files: &[Vec<Claim>]) -> Vec<SessionRecord> {
    let mut sessions: Vec<SessionRecord> = Vec::new();
    for wanted in files.iter().flatten().flat_map(sessions_of) {
        match sessions.iter_mut().find(|one| serves(one, &wanted)) {
            None => sessions.push(wanted),
            Some(one) => {
                one.claims.extend(wanted.claims);
                one.rates.extend(wanted.rates);
                add(&mut one.operations, wanted.operations);
                add(&mut one.stacks, wanted.stacks);
            }
        }
    }
    sessions
}

fn add<T: PartialEq>(to: &mut Vec<T>, more: Vec<T>) {
    for one in more {
        if !to.contains(&one) {
            to.push(one);
        }
    }
}

/// Whether a session may measure what another would.
fn serves(one: &SessionRecord, wanted: &SessionRecord) -> bool {
    if one.slo.is_some() || wanted.slo.is_some() {
        // Each stack is searched for itself: more of them change nothing for the others.
        return one.slo == wanted.slo && one.operations == wanted.operations;
    }
    let set = |stacks: &[StackName]| stacks.iter().cloned().collect::<BTreeSet<_>>();
    let differs =
        |(operation, rate): (&Operation, &Rate)| one.rates.get(operation).is_some_and(|other| other != rate);
    set(&wanted.stacks).is_subset(&set(&one.stacks)) && !wanted.rates.iter().any(differs)
}

/// What one claim needs: blocks for all of its figures, and a search for each objective and operation of its capacities.
fn sessions_of(claim: &Claim) -> Vec<SessionRecord> {
    let empty = |slo| SessionRecord {
        claims: vec![claim.name.clone()],
        stacks: Vec::new(),
        operations: Vec::new(),
        rates: BTreeMap::new(),
        slo,
        run: None,
        done: false,
        failure: None,
    };
    let mut sessions: Vec<SessionRecord> = Vec::new();
    for quantity in claim.quantities() {
        let (operation, slo) = (quantity.settings.op, quantity.settings.slo);
        let same = |one: &SessionRecord| one.slo == slo && (slo.is_none() || one.operations == [operation]);
        let at = sessions.iter().position(same).unwrap_or_else(|| {
            sessions.push(empty(slo));
            sessions.len() - 1
        });
        let session = &mut sessions[at];
        add(&mut session.stacks, vec![stack_of(&quantity)]);
        add(&mut session.operations, vec![operation]);
        if let Some(rate) = quantity.settings.rate {
            session.rates.entry(operation).or_insert(rate);
        }
    }
    sessions
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
        let slo = one.slo.map_or_else(String::new, |slo| format!("; capacity under {slo}"));
        format!("session {}: {stacks}\n  {operations}{rates}{slo}\n{claims}", index + 1)
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

    #[test]
    fn capacities_are_searched_once_for_each_objective() {
        let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks");
        let text = "claim \"a\": capacity(flask/gunicorn, slo=p99=50ms) > capacity(flask/waitress, slo=p99=50ms)\n\
                    claim \"b\": capacity(flask/cheroot, slo=p99=50ms) in (9rps,inf) and throughput(flask/cheroot) in (9rps,inf)\n\
                    claim \"c\": capacity(flask/cheroot, slo=p99=90ms) in (9rps,inf)\n";
        let claims = parse_claims(Path::new("t.claims"), text, &Catalogue::read(&stacks).unwrap()).unwrap();
        let sessions = of(&[claims]);
        let said: Vec<_> = sessions
            .iter()
            .map(|one| (one.slo.map(|slo| slo.to_string()), one.stacks.len(), one.claims.join(" ")))
            .collect();
        let expected = [(Some("p99=50ms"), 3, "a b"), (None, 1, "b"), (Some("p99=90ms"), 1, "c")];
        assert_eq!(
            said,
            expected.map(|(slo, stacks, claims)| (slo.map(str::to_owned), stacks, claims.to_owned()))
        );
        assert!(words(&sessions).contains("contacts_fetch; capacity under p99=50ms"), "{}", words(&sessions));
    }
}
