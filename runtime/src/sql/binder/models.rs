//! Models: their versions, options and what is shown of them.
//!
//! Place in the flow: `resources` binds statements about models with this, calls of models name a version. Invariant: a model has at least
//! one version, and its default version is one of them.

use std::collections::BTreeMap;

use super::Bound;
use super::names::full_name;
use super::options::is_secret;
use super::resources::{change, find, nothing, options_of};
use super::show::rows;
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::Column;
use crate::sql::ast::{AlterResource, CreateModel, Ident, Literal, Name, ResourceKind};
use crate::sql::catalog::{Catalog, ObjectName};
use crate::sql::redact::MASK;
use crate::sql::resource::{ModelDef, ModelVersion, Resource};
use crate::sql::session::{Session, ValueKind, check_value};
use crate::types::FlinkType;

/// Providers of models.
///
/// # Source
/// Confluent: CREATE MODEL.
const PROVIDERS: [&str; 10] = [
    "anthropic",
    "azureml",
    "azureopenai",
    "bedrock",
    "confluent",
    "fireworksai",
    "googleai",
    "openai",
    "sagemaker",
    "vertexai",
];

/// What models do.
///
/// # Source
/// Confluent: CREATE MODEL, task types.
const TASKS: &[&str] = &[
    "classification",
    "clustering",
    "embedding",
    "regression",
    "text_generation",
];

/// Most versions of a model.
///
/// # Source
/// A guess, unmeasured: it bounds what the catalog keeps of one name.
const VERSIONS_MAX: usize = 100;

/// Separates a model's name from a version, or from `all`.
///
/// # Source
/// Confluent: model versioning.
pub(super) const VERSION_MARK: char = '$';

/// Which versions of a model a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// The bare name.
    Default,
    /// `name$2`.
    One(u32),
    /// `name$all`.
    All,
}

/// Splits the version from a model's name.
pub(super) fn with_version(name: &Name, session: &Session) -> Result<(ObjectName, Versions)> {
    let full = full_name(name, session);
    let Some((own, version)) = full.name.rsplit_once(VERSION_MARK) else {
        return Ok((full, Versions::Default));
    };
    let versions = match version {
        "all" => Versions::All,
        number => Versions::One(number.parse().map_err(|_| {
            Error::validation(format!(
                "\"{number}\" is not a version of a model: write `{own}$2` or `{own}$all`"
            ))
            .with_span(name.span())
        })?),
    };
    let name = own.to_owned();
    Ok((ObjectName { name, ..full }, versions))
}

/// The model of a name, and which of its versions the name means.
pub(super) fn find_model(
    name: &Name,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<(ModelDef, Versions)> {
    let (full, versions) = with_version(name, session)?;
    let found = find(ResourceKind::Model, &full, name.span(), catalog)?;
    let Resource::Model(model) = &*found else {
        return Err(Error::internal("a connection among the models"));
    };
    if let Versions::One(version) = versions
        && !model.versions.contains_key(&version)
    {
        let known: Vec<String> = model.versions.keys().map(u32::to_string).collect();
        return Err(Error::unknown(format!(
            "model {full} has no version {version}, it has {}",
            known.join(", ")
        ))
        .with_span(name.span()));
    }
    Ok((model.clone(), versions))
}

/// The version of a model that a name means in a query.
///
/// # Errors
/// `Invalid` for an unknown model or version, and for all versions.
pub(super) fn model_version(
    name: &Name,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<(ObjectName, ModelVersion)> {
    let (model, versions) = find_model(name, catalog, session)?;
    let version = match versions {
        Versions::Default => model.default_version,
        Versions::One(version) => version,
        Versions::All => {
            return Err(
                Error::validation("a call names one version of a model").with_span(name.span())
            );
        }
    };
    let full = ObjectName {
        name: format!("{}{VERSION_MARK}{version}", model.name.name),
        ..model.name.clone()
    };
    let found = model.versions.get(&version).cloned();
    let found = found.ok_or_else(|| Error::internal("a version of a model is missing"))?;
    Ok((full, found))
}

/// Binds `CREATE MODEL`: a name that is there already gets another version.
pub(super) fn create_model(
    create: &CreateModel,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let span = create.name.span();
    let full = full_name(&create.name, session);
    if full.name.contains(VERSION_MARK) {
        return Err(Error::validation(
            "CREATE MODEL gives the next version itself: leave the version out",
        )
        .with_span(span));
    }
    let before = catalog.resource(ResourceKind::Model, &full);
    if before.is_some() && create.if_not_exists {
        return Ok(nothing("CREATE_MODEL"));
    }
    let version = ModelVersion {
        inputs: model_columns(&create.inputs)?,
        outputs: model_columns(&create.outputs)?,
        comment: create.comment.clone(),
        options: options_of(&create.options)?,
    };
    check_model(&version, &full, catalog).map_err(|error| error.with_span(span))?;
    let mut model = match before.as_deref() {
        Some(Resource::Model(model)) => model.clone(),
        _ => ModelDef {
            name: full,
            versions: BTreeMap::new(),
            default_version: 1,
        },
    };
    if model.versions.len() >= VERSIONS_MAX {
        return Err(Error::validation(format!(
            "model {} has {VERSIONS_MAX} versions: drop one first",
            model.name
        ))
        .with_span(span));
    }
    let last = model.versions.last_key_value().map_or(0, |(last, _)| *last);
    model.versions.insert(last + 1, version);
    Ok(change("CREATE_MODEL", before, Some(Resource::Model(model))))
}

/// Columns of INPUT or OUTPUT.
fn model_columns(columns: &[(Ident, FlinkType)]) -> Result<Vec<Column>> {
    for (index, (ident, _)) in columns.iter().enumerate() {
        if columns[..index]
            .iter()
            .any(|(other, _)| other.value == ident.value)
        {
            let message = format!("column `{}` is declared twice", ident.value);
            return Err(Error::validation(message).with_span(ident.span));
        }
    }
    let column = |(ident, ty): &(Ident, FlinkType)| Column {
        name: ident.value.clone(),
        ty: ty.clone(),
    };
    Ok(columns.iter().map(column).collect())
}

/// Refuses a model without provider, with a task that there is not, or with a connection that there is not.
fn check_model(version: &ModelVersion, name: &ObjectName, catalog: &dyn Catalog) -> Result<()> {
    let get = |key: &str| version.options.get(key).map(String::as_str);
    let Some(provider) = get("provider") else {
        return Err(Error::option(format!(
            "option 'provider' is missing: there are {}",
            PROVIDERS.join(", ")
        )));
    };
    let provider = provider.to_lowercase();
    if !PROVIDERS.contains(&provider.as_str()) {
        return Err(unknown_name("provider", &provider, PROVIDERS));
    }
    if let Some(task) = get("task") {
        check_value("option", "task", task, ValueKind::OneOf(TASKS))?;
    }
    if let Some(connection) = get(&format!("{provider}.connection")) {
        let full = ObjectName {
            name: connection.to_owned(),
            ..name.clone()
        };
        find(ResourceKind::Connection, &full, Span::default(), catalog)?;
    }
    Ok(())
}

/// A model with other options.
pub(super) fn alter_model(
    (mut model, versions): (ModelDef, Versions),
    change: &AlterResource,
    catalog: &dyn Catalog,
) -> Result<ModelDef> {
    let numbers: Vec<u32> = match versions {
        Versions::All => model.versions.keys().copied().collect(),
        Versions::One(version) => vec![version],
        Versions::Default => vec![model.default_version],
    };
    let mut keys: &[Literal] = &[];
    let mut options = BTreeMap::new();
    match change {
        AlterResource::Set(written) => options = options_of(written)?,
        AlterResource::Reset(reset) => keys = reset,
        AlterResource::Rename(_) => return Err(Error::internal("a new name is no option")),
    }
    if let Some(version) = options.remove("default_version") {
        let number = version.trim().parse().ok();
        let known = number.filter(|number| model.versions.contains_key(number));
        model.default_version = known.ok_or_else(|| {
            let known: Vec<String> = model.versions.keys().map(u32::to_string).collect();
            Error::option(format!(
                "option 'default_version': \"{version}\" is not one of {}",
                known.join(", ")
            ))
        })?;
    }
    for number in numbers {
        let Some(version) = model.versions.get_mut(&number) else {
            continue;
        };
        version.options.extend(options.clone());
        for key in keys {
            if version.options.remove(&key.value).is_none() {
                let known = version.options.keys().map(String::as_str);
                return Err(unknown_name("option", &key.value, known).with_span(key.span));
            }
        }
        let version = version.clone();
        check_model(&version, &model.name, catalog)?;
    }
    Ok(model)
}

/// Answers `DESCRIBE MODEL`.
pub(super) fn describe_model(
    name: &Name,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let (model, versions) = find_model(name, catalog, session)?;
    let format = |columns: &[Column]| {
        let columns = columns.iter().map(|c| format!("`{}` {}", c.name, c.ty));
        format!("({})", columns.collect::<Vec<_>>().join(", "))
    };
    let is_meant = |number: u32| match versions {
        Versions::All => true,
        Versions::One(version) => version == number,
        Versions::Default => number == model.default_version,
    };
    let row = |(number, version): (&u32, &ModelVersion)| {
        let is_default = *number == model.default_version;
        vec![
            Some(format(&version.inputs)),
            Some(format(&version.outputs)),
            Some(number.to_string()),
            Some(if is_default { "yes" } else { "no" }.to_owned()),
            version.comment.clone(),
        ]
    };
    let described = model
        .versions
        .iter()
        .filter(|(number, _)| is_meant(**number));
    Ok(rows(
        "DESCRIBE_MODEL",
        &[
            "Input format",
            "Output format",
            "Model version",
            "isDefault version",
            "Comment",
        ],
        described.map(row).collect(),
    ))
}

/// Options of a version as SHOW CREATE MODEL shows them, and DESCRIBE would.
pub(super) fn shown_options(version: &ModelVersion) -> Vec<(String, String)> {
    let shown = |(key, value): (&String, &String)| {
        let value = if is_secret(key) { MASK } else { value };
        (key.clone(), value.to_owned())
    };
    version.options.iter().map(shown).collect()
}

/// The versions that SHOW CREATE MODEL shows.
///
/// # Errors
/// `Invalid` for an unknown model or version.
pub(super) fn shown_versions(
    name: &Name,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Vec<(ObjectName, ModelVersion)>> {
    let (model, versions) = find_model(name, catalog, session)?;
    let is_meant = |number: &u32| match versions {
        Versions::All => true,
        Versions::One(version) => version == *number,
        Versions::Default => *number == model.default_version,
    };
    let meant = model.versions.iter().filter(|(number, _)| is_meant(number));
    Ok(meant
        .map(|(_, version)| (model.name.clone(), version.clone()))
        .collect())
}

/// A model without the versions that a name means; absent when none is left.
///
/// # Source
/// Confluent: without a version the default one goes, and the smallest becomes the default.
pub(super) fn without(mut model: ModelDef, versions: Versions) -> Option<ModelDef> {
    match versions {
        Versions::All => return None,
        Versions::One(version) => model.versions.remove(&version),
        Versions::Default => model.versions.remove(&model.default_version),
    };
    let (smallest, _) = model.versions.first_key_value()?;
    if !model.versions.contains_key(&model.default_version) {
        model.default_version = *smallest;
    }
    Some(model)
}
