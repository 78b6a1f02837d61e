//! `weir pool`.
//!
//! Place in the flow: Confluent's `fcpm/v2` API. Invariant: JSON output is what the API gives.

use anyhow::Result;

use crate::args::Pool;
use crate::client::Client;
use crate::output;

/// Columns of the list.
const COLUMNS: [(&str, &str); 5] = [
    ("ID", "/id"),
    ("Name", "/spec/display_name"),
    ("Current CFU", "/status/current_cfu"),
    ("Max CFU", "/spec/max_cfu"),
    ("Phase", "/status/phase"),
];

/// Runs the command.
///
/// # Errors
/// What the server refuses.
pub(crate) async fn run(command: Pool) -> Result<()> {
    match command {
        Pool::List { server, output } => {
            let pools = Client::new(&server.url)?
                .pages("/fcpm/v2/compute-pools?environment=env-local")
                .await?;
            output::list(&pools, &COLUMNS, output.format())
        }
        Pool::Describe { id, server } => {
            let path = format!("/fcpm/v2/compute-pools/{id}?environment=env-local");
            output::json(&Client::new(&server.url)?.get(&path).await?)
        }
    }
}
