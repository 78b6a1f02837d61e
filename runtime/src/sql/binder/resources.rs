//! Models and connections: CREATE, ALTER and DROP, and what DESCRIBE says of them and of functions.
//!
//! Place in the flow: turns a parsed declaration into the definition as it is to be, beside the one it replaces. Invariant: options are
//! known ones, and a secret leaves this file only inside a definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Bound;
use super::names::full_name;
use super::options::is_secret;
use super::show::rows;
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::Column;
use crate::sql::ast::{
    AlterResource, CreateModel, Ident, Literal, Name, ResourceKind, StatementKind, TableOption,
};
use crate::sql::catalog::{Catalog, ObjectName};
use crate::sql::redact::{MASK, PUBLIC};
use crate::sql::resource::{ConnectionDef, ModelDef, ModelVersion, Resource, Secret};
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

/// Kinds of services that connections reach.
///
/// # Source
/// Confluent: types of connections in `sql/v1`, in lower case as CREATE CONNECTION takes them.
const SERVICES: &[&str] = &[
    "a2a",
    "anthropic",
    "azureml",
    "azureopenai",
    "bedrock",
    "confluent_jdbc",
    "cosmosdb",
    "couchbase",
    "elastic",
    "fireworksai",
    "googleai",
    "mcp_server",
    "mongodb",
    "openai",
    "pinecone",
    "rest",
    "s3vectors",
    "sagemaker",
    "vertexai",
];

/// Options of connections that are secrets.
///
/// # Source
/// Confluent: CREATE CONNECTION and flags of `confluent flink connection create`.
const SECRETS: [&str; 8] = [
    "api-key",
    "aws-access-key",
    "aws-secret-key",
    "aws-session-token",
    "client-secret",
    "password",
    "service-key",
    "token",
];

/// Longest secret, in bytes.
///
/// # Source
/// Confluent: connections of `sql/v1`.
const SECRET_BYTES_MAX: usize = 4000;

/// Most versions of a model.
///
/// # Source
/// A guess, unmeasured: it bounds what the catalog keeps of one name.
const VERSIONS_MAX: usize = 100;

/// Separates a model's name from a version, or from `all`.
///
/// # Source
/// Confluent: model versioning.
const VERSION_MARK: char = '$';

/// Which versions of a model a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    /// The bare name.
    Default,
    /// `name$2`.
    One(u32),
    /// `name$all`.
    All,
}

/// Binds a statement about a model, connection or function.
///
/// # Errors
/// `Invalid` with the place in the text, and the nearest name where one is unknown.
pub(super) fn bind(
    statement: &StatementKind,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    match statement {
        StatementKind::CreateModel(create) => create_model(create, catalog, session),
        StatementKind::CreateConnection {
            name,
            if_not_exists,
            comment,
            options,
        } => {
            let full = full_name(name, session);
            let found = catalog.resource(ResourceKind::Connection, &full);
            match found {
                Some(_) if *if_not_exists => return Ok(nothing("CREATE_CONNECTION")),
                Some(_) => return Err(exists(&full, "connection").with_span(name.span())),
                None => {}
            }
            let connection = connection(full, options, comment.clone())
                .map_err(|error| error.with_span(name.span()))?;
            Ok(change(
                "CREATE_CONNECTION",
                None,
                Some(Resource::Connection(connection)),
            ))
        }
        StatementKind::AlterResource {
            kind,
            name,
            if_exists,
            change,
        } => alter((*kind, name, *if_exists), change, catalog, session),
        StatementKind::DropResource {
            kind: ResourceKind::Function,
            name,
            if_exists,
        } => drop_function(name, *if_exists, catalog, session),
        StatementKind::DropResource {
            kind,
            name,
            if_exists,
        } => drop(*kind, (name, *if_exists), catalog, session),
        StatementKind::DescribeResource {
            kind,
            name,
            extended,
        } => match kind {
            ResourceKind::Model => describe_model(name, catalog, session),
            ResourceKind::Connection => describe_connection(name, catalog, session),
            ResourceKind::Function => super::show_functions::describe(name, *extended),
        },
        _ => Err(Error::internal(
            "not a statement about a model or connection",
        )),
    }
}

/// A change of one model or connection.
fn change(sql_kind: &'static str, before: Option<Arc<Resource>>, after: Option<Resource>) -> Bound {
    Bound::ChangeResource {
        sql_kind,
        before: before.map(|before| Resource::clone(&before)),
        after,
    }
}

/// A statement that has nothing to do.
pub(super) fn nothing(sql_kind: &'static str) -> Bound {
    Bound::Nothing { sql_kind }
}

/// The error for making what is there.
fn exists(name: &ObjectName, what: &str) -> Error {
    Error::exists(format!(
        "{what} {name} exists already: drop it first or say IF NOT EXISTS"
    ))
}

/// The kind of statement for `traits.sql_kind`.
fn sql_kind(verb: &str, kind: ResourceKind) -> &'static str {
    match (verb, kind) {
        ("ALTER", ResourceKind::Model) => "ALTER_MODEL",
        ("ALTER", _) => "ALTER_CONNECTION",
        (_, ResourceKind::Model) => "DROP_MODEL",
        (_, ResourceKind::Connection) => "DROP_CONNECTION",
        (_, ResourceKind::Function) => "DROP_FUNCTION",
    }
}

/// Splits the version from a model's name.
fn with_version(name: &Name, session: &Session) -> Result<(ObjectName, Versions)> {
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

/// Finds a model or connection.
fn find(
    kind: ResourceKind,
    full: &ObjectName,
    span: Span,
    catalog: &dyn Catalog,
) -> Result<Arc<Resource>> {
    catalog.resource(kind, full).ok_or_else(|| {
        let names = catalog.resource_names(kind, &full.catalog, &full.database);
        unknown_name(kind.as_str(), &full.name, names.iter().map(String::as_str)).with_span(span)
    })
}

/// The model of a name, and which of its versions the name means.
fn find_model(
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
fn create_model(create: &CreateModel, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
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

/// Options, each once.
fn options_of(written: &[TableOption]) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for TableOption { key, value } in written {
        let old = options.insert(key.value.clone(), value.value.clone());
        if old.is_some() {
            let message = format!("option '{}' is written twice", key.value);
            return Err(Error::option(message).with_span(key.span));
        }
    }
    Ok(options)
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

/// The definition of a connection.
fn connection(
    name: ObjectName,
    written: &[TableOption],
    comment: Option<String>,
) -> Result<ConnectionDef> {
    let mut options = options_of(written)?;
    let mut take = |key: &str| {
        let missing = || Error::option(format!("option '{key}' is missing"));
        options.remove(key).ok_or_else(missing)
    };
    let service = take("type")?.to_lowercase();
    let endpoint = take("endpoint")?;
    check_value("option", "type", &service, ValueKind::OneOf(SERVICES))?;
    let mut connection = ConnectionDef {
        name,
        service,
        endpoint,
        options: BTreeMap::new(),
        secrets: BTreeMap::new(),
        comment,
    };
    for option in written {
        if !["type", "endpoint"].contains(&option.key.value.as_str()) {
            set_connection(&mut connection, option)?;
        }
    }
    Ok(connection)
}

/// Sets an option of a connection; a message never has the value in it.
fn set_connection(connection: &mut ConnectionDef, option: &TableOption) -> Result<()> {
    let TableOption { key, value } = option;
    let name = key.value.as_str();
    if ["type", "endpoint"].contains(&name) {
        return Err(Error::option(format!(
            "option '{name}' of a connection cannot be changed: drop it and create it anew"
        ))
        .with_span(key.span));
    }
    if PUBLIC.contains(&name) {
        connection
            .options
            .insert(name.to_owned(), value.value.clone());
        return Ok(());
    }
    if !SECRETS.contains(&name) {
        let known = PUBLIC.into_iter().chain(SECRETS);
        return Err(unknown_name("option", name, known).with_span(key.span));
    }
    if value.value == MASK || value.value.is_empty() {
        return Err(Error::option(format!(
            "the value of option '{name}' is masked or empty: write the secret itself"
        ))
        .with_span(value.span));
    }
    if value.value.len() > SECRET_BYTES_MAX {
        return Err(Error::option(format!(
            "the value of option '{name}' is longer than {SECRET_BYTES_MAX} bytes"
        ))
        .with_span(value.span));
    }
    let secret = Secret(value.value.clone());
    connection.secrets.insert(name.to_owned(), secret);
    Ok(())
}

/// Binds `ALTER MODEL` and `ALTER CONNECTION`.
fn alter(
    (kind, name, if_exists): (ResourceKind, &Name, bool),
    what: &AlterResource,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let sql_kind = sql_kind("ALTER", kind);
    let (full, versions) = match kind {
        ResourceKind::Model => with_version(name, session)?,
        _ => (full_name(name, session), Versions::Default),
    };
    let before = match find(kind, &full, name.span(), catalog) {
        Err(_) if if_exists => return Ok(nothing(sql_kind)),
        found => found?,
    };
    let mut after = Resource::clone(&before);
    match (&mut after, what) {
        (after, AlterResource::Rename(to)) => {
            let to_name = full_name(to, session);
            if catalog.resource(kind, &to_name).is_some() {
                return Err(exists(&to_name, kind.as_str()).with_span(to.span()));
            }
            if versions != Versions::Default
                || to_name.name.contains(VERSION_MARK) && kind == ResourceKind::Model
            {
                let message = "a version of a model cannot be renamed: leave the version out";
                return Err(Error::validation(message).with_span(name.span()));
            }
            *after.name_mut() = to_name;
        }
        (Resource::Connection(connection), AlterResource::Set(options)) => {
            for option in options {
                set_connection(connection, option)?;
            }
        }
        (Resource::Connection(connection), AlterResource::Reset(keys)) => {
            for key in keys {
                let was = connection.options.remove(&key.value).is_some()
                    | connection.secrets.remove(&key.value).is_some();
                if !was {
                    let known = connection.options.keys().chain(connection.secrets.keys());
                    let error = unknown_name("option", &key.value, known.map(String::as_str));
                    return Err(error.with_span(key.span));
                }
            }
        }
        (Resource::Model(_), change) => {
            let altered = match find_model(name, catalog, session) {
                Err(_) if if_exists => return Ok(nothing(sql_kind)),
                found => found?,
            };
            let altered = alter_model(altered, change, catalog);
            after = Resource::Model(altered.map_err(|error| error.with_span(name.span()))?);
        }
    }
    Ok(change(sql_kind, Some(before), Some(after)))
}

/// A model with other options.
fn alter_model(
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

/// Binds `DROP MODEL` and `DROP CONNECTION`.
///
/// # Source
/// Confluent: without a version the default one goes, and the smallest becomes the default.
fn drop(
    kind: ResourceKind,
    (name, if_exists): (&Name, bool),
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let sql_kind = sql_kind("DROP", kind);
    if kind == ResourceKind::Connection {
        let full = full_name(name, session);
        return match find(kind, &full, name.span(), catalog) {
            Err(_) if if_exists => Ok(nothing(sql_kind)),
            found => Ok(change(sql_kind, Some(found?), None)),
        };
    }
    let (mut model, versions) = match find_model(name, catalog, session) {
        Err(_) if if_exists => return Ok(nothing(sql_kind)),
        found => found?,
    };
    let before = catalog.resource(kind, &model.name);
    match versions {
        Versions::All => model.versions.clear(),
        Versions::One(version) => {
            model.versions.remove(&version);
        }
        Versions::Default => {
            model.versions.remove(&model.default_version);
        }
    }
    if !model.versions.contains_key(&model.default_version)
        && let Some((smallest, _)) = model.versions.first_key_value()
    {
        model.default_version = *smallest;
    }
    let after = (!model.versions.is_empty()).then_some(Resource::Model(model));
    Ok(change(sql_kind, before, after))
}

/// Binds `DROP FUNCTION`: there are no functions of users.
fn drop_function(
    name: &Name,
    if_exists: bool,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    if if_exists {
        return Ok(nothing("DROP_FUNCTION"));
    }
    let full = full_name(name, session);
    let own = full.name.to_uppercase();
    if name.parts.len() == 1 && super::show_functions::is_builtin(&own) {
        let message = format!("{own} is a function of the system and cannot be dropped");
        return Err(Error::validation(message).with_span(name.span()));
    }
    let names = catalog.resource_names(ResourceKind::Function, &full.catalog, &full.database);
    let names = names.iter().map(String::as_str);
    Err(unknown_name("user function", &full.name, names).with_span(name.span()))
}

/// Answers `DESCRIBE MODEL`.
fn describe_model(name: &Name, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
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

/// Answers `DESCRIBE CONNECTION`.
fn describe_connection(name: &Name, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
    let full = full_name(name, session);
    let found = find(ResourceKind::Connection, &full, name.span(), catalog)?;
    let Resource::Connection(connection) = &*found else {
        return Err(Error::internal("a model among the connections"));
    };
    let shown = connection.options.iter();
    let shown = shown.map(|(key, value)| format!("'{key}' = '{value}'"));
    let masked = connection.secrets.keys();
    let masked = masked.map(|key| format!("'{key}' = '{MASK}'"));
    let options: Vec<String> = shown.chain(masked).collect();
    let row = vec![
        Some(connection.name.name.clone()),
        Some(connection.service.to_uppercase()),
        Some(connection.endpoint.clone()),
        Some(options.join(", ")),
        connection.comment.clone(),
    ];
    Ok(rows(
        "DESCRIBE_CONNECTION",
        &["Name", "Type", "Endpoint", "Options", "Comment"],
        vec![row],
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
