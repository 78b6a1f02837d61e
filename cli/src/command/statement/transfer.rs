//! Exporting and importing statements: a directory with `manifest.json` and, under `objects/`, the state.
//!
//! Place in the flow: the server makes and checks manifests; here bytes are moved. Invariant: an export has its manifest only once every
//! object of it is there, so half an export is no export.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Component, Path};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::savepoint;
use crate::args::{Export, Import};
use crate::client::Client;
use crate::output;

/// File of the manifest.
const MANIFEST: &str = "manifest.json";

/// Directory of objects.
const OBJECTS: &str = "objects";

/// Bytes sent at a time; the server takes 16 MiB (guess, unmeasured).
const PIECE_BYTES: usize = 8 << 20;

/// Exports a statement.
pub(super) async fn export(args: Export) -> Result<()> {
    let client = Client::new(&args.server.url)?;
    let out = &args.out;
    ensure!(
        !out.exists(),
        "\"{}\" exists already: an export makes its own directory",
        out.display()
    );
    let body = json!({ "savepoint": args.savepoint });
    let manifest = client.act(&args.name, "export", body).await?;
    let objects = out.join(OBJECTS);
    fs::create_dir_all(&objects).with_context(|| format!("making {}", objects.display()))?;
    let name = manifest["savepoint"]["name"].as_str().unwrap_or_default();
    for (object, length) in objects_of(&manifest) {
        check_inside(object)?;
        let path = format!("{}/{name}/objects/{object}", savepoint::path(&args.name));
        download(&client, &path, &objects.join(object), length).await?;
    }
    let path = out.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest)?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    if args.json {
        return output::json(&json!({
            "directory": out.display().to_string(),
            "savepoint": manifest["savepoint"]["name"],
            "objects": objects_of(&manifest).len(),
        }));
    }
    let state = if name.is_empty() {
        "without state".to_owned()
    } else {
        format!("at savepoint {name}")
    };
    output::line(format!("{} {state} is in {}", args.name, out.display()));
    Ok(())
}

/// Imports a statement.
pub(super) async fn import(args: Import) -> Result<()> {
    let client = Client::new(&args.server.url)?;
    let path = args.dir.join(MANIFEST);
    let manifest = fs::read(&path).with_context(|| {
        format!(
            "reading {}: is \"{}\" a whole export?",
            path.display(),
            args.dir.display()
        )
    })?;
    let begun = client
        .send_bytes(Method::POST, "/weir/v1/imports", manifest)
        .await?;
    let id = begun["id"].as_str().unwrap_or_default();
    for object in begun["objects"].as_array().into_iter().flatten() {
        let name = object.as_str().unwrap_or_default();
        check_inside(name)?;
        let path = format!("/weir/v1/imports/{id}/objects/{name}");
        upload(&client, &args.dir.join(OBJECTS).join(name), &path).await?;
    }
    let body = json!({
        "name": args.name,
        "compute_pool_id": args.pool,
        "start": args.start,
        "take_over": args.take_over,
    });
    let path = format!("/weir/v1/imports/{id}/statement");
    let statement = client.request(Method::POST, &path, Some(body)).await?;
    if args.json {
        return output::json(&statement);
    }
    output::line(format!(
        "{} is {}",
        output::cell(statement.get("name")),
        crate::client::phase(&statement)
    ));
    Ok(())
}

/// Name and length of each object of a manifest.
fn objects_of(manifest: &Value) -> Vec<(&str, u64)> {
    let objects = manifest["savepoint"]["objects"].as_array();
    objects
        .into_iter()
        .flatten()
        .filter_map(|object| Some((object["name"].as_str()?, object["bytes"].as_u64()?)))
        .collect()
}

/// Reads an object into a file.
async fn download(client: &Client, path: &str, file: &Path, length: u64) -> Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut out = File::create(file).with_context(|| format!("making {}", file.display()))?;
    let mut offset = 0;
    while offset < length {
        let piece = client.bytes(&format!("{path}?offset={offset}")).await?;
        if piece.is_empty() {
            bail!("{path} ends after {offset} of {length} bytes: export again");
        }
        out.write_all(&piece)?;
        offset += piece.len() as u64;
    }
    out.sync_all()?;
    Ok(())
}

/// Sends a file as an object.
async fn upload(client: &Client, file: &Path, path: &str) -> Result<()> {
    let mut from = File::open(file).with_context(|| format!("reading {}", file.display()))?;
    let mut offset = 0u64;
    loop {
        let mut piece = Vec::new();
        (&mut from)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece)?;
        let length = piece.len() as u64;
        if length == 0 && offset > 0 {
            return Ok(());
        }
        client
            .send_bytes(Method::PUT, &format!("{path}?offset={offset}"), piece)
            .await?;
        if length == 0 {
            return Ok(());
        }
        offset += length;
    }
}

/// Refuses names that lead out of the directory of the export.
fn check_inside(name: &str) -> Result<()> {
    let is_inside = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    ensure!(
        is_inside,
        "object \"{name}\" has a name that leads elsewhere"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_from_the_manifest() {
        let manifest = json!({ "savepoint": { "objects": [{ "name": "a/b", "bytes": 3 }] } });
        assert_eq!(objects_of(&manifest), [("a/b", 3)]);
        assert!(objects_of(&json!({ "savepoint": null })).is_empty());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        assert!(check_inside("segments/1").is_ok());
        assert!(check_inside("../x").is_err());
        assert!(check_inside("/etc/passwd").is_err());
    }
}
