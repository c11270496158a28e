//! The rows of the whole field, and what is installed for one of them.

use std::collections::BTreeMap;

use dyno_model::{catalogue::Language, plan::Plan};
use dyno_plan::{Catalogue, ResolvedStack};
use dyno_provision::{Context, ProvisionError};

use crate::prepare::{Program, interpreter_of, prepare_own};

/// Every row of the field (`Catalogue::field`), on the interpreters that have locks.
pub fn field(context: Context<'_>, catalogue: &Catalogue, plan: &Plan) -> Vec<ResolvedStack> {
    let usual = plan.interpreter.clone().or_else(|| {
        let stacks = catalogue.stacks();
        let python = stacks.iter().find(|stack| stack.app.app.language == Language::Python)?;
        Some(interpreter_of(context, python, None).ok()?.name)
    });
    let others: Vec<String> =
        catalogue.interpreters().into_iter().filter(|name| Some(name) != usual.as_ref()).collect();
    catalogue.field(&others)
}

/// What is installed for a Python stack.
pub struct Installed {
    /// The interpreter's name.
    pub interpreter: String,
    /// Distributions and versions.
    pub packages: BTreeMap<String, String>,
}

/// The distributions of a Python stack's environment; `None` for a compiled one.
///
/// # Errors
/// The environment isn't there and can't be made.
pub fn packages(
    context: Context<'_>,
    stack: ResolvedStack,
    plan: &Plan,
) -> Result<Option<Installed>, ProvisionError> {
    let wanted = stack.name.interpreter.clone().or_else(|| plan.interpreter.clone());
    if stack.app.app.language != Language::Python {
        return Ok(None);
    }
    let interpreter = interpreter_of(context, &stack, wanted.as_deref())?.name;
    let prepared = prepare_own(context, stack, plan, false)?;
    Ok(match prepared.program {
        Program::Python(environment) => Some(Installed { interpreter, packages: environment.packages }),
        Program::Binary(_) => None,
    })
}
