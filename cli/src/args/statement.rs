//! What `weir statement` takes.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::{Output, Server};

/// What to do with statements.
#[derive(Debug, Subcommand)]
pub(crate) enum Statement {
    /// List statements, newest first.
    List {
        /// The server.
        #[command(flatten)]
        server: Server,
        /// How to print.
        #[command(flatten)]
        output: Output,
    },
    /// Everything about one statement, as JSON.
    Describe {
        /// Its name.
        name: String,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Stop a statement after a last checkpoint; it can be resumed.
    Stop(Stop),
    /// Resume a stopped or failed statement where it was, or elsewhere.
    Resume(Resume),
    /// Give a statement other CFUs.
    #[command(after_help = "Example:\n  weir statement rescale copy --parallelism 4")]
    Rescale {
        /// Its name.
        name: String,
        /// CFUs, at most what its pool has left.
        #[arg(short, long, value_name = "CFU")]
        parallelism: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Delete a statement, its checkpoints and its savepoints.
    Delete {
        /// Its name.
        name: String,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// The ten latest exceptions of a statement: class, code, message, time.
    Exceptions {
        /// Its name.
        name: String,
        /// The server.
        #[command(flatten)]
        server: Server,
        /// How to print.
        #[command(flatten)]
        output: Output,
    },
    /// Take a savepoint; the statement goes on.
    #[command(
        after_help = "Examples:\n  weir statement savepoint copy\n  weir statement savepoint copy --name before-upgrade"
    )]
    Savepoint {
        /// Name of the statement.
        name: String,
        /// Name of the savepoint; made up when absent.
        #[arg(long = "name", value_name = "SAVEPOINT")]
        savepoint: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// List the savepoints of a statement, newest first.
    Savepoints {
        /// Name of the statement.
        name: String,
        /// The server.
        #[command(flatten)]
        server: Server,
        /// How to print.
        #[command(flatten)]
        output: Output,
    },
    /// List the checkpoints that a statement can be resumed from, newest first.
    Checkpoints {
        /// Name of the statement.
        name: String,
        /// The server.
        #[command(flatten)]
        server: Server,
        /// How to print.
        #[command(flatten)]
        output: Output,
    },
    /// Delete a savepoint.
    #[command(after_help = "Example:\n  weir statement delete-savepoint copy before-upgrade")]
    DeleteSavepoint {
        /// Name of the statement.
        name: String,
        /// Name of the savepoint.
        savepoint: String,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Export a statement with its state into a directory.
    Export(Export),
    /// Import an exported statement into this server.
    Import(Import),
}

/// Options of `weir statement stop`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir statement stop copy\n  weir statement stop copy --savepoint before-upgrade\n  weir statement stop copy --drain"
)]
pub(crate) struct Stop {
    /// Its name.
    pub(crate) name: String,
    /// Read what is there now, flush every window and complete, instead of stopping in the middle.
    #[arg(long)]
    pub(crate) drain: bool,
    /// Keep the last checkpoint as a savepoint; without a name one is made up.
    #[arg(long, value_name = "SAVEPOINT", num_args = 0..=1, default_missing_value = "", conflicts_with = "drain")]
    pub(crate) savepoint: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The server.
    #[command(flatten)]
    pub(crate) server: Server,
}

/// Options of `weir statement resume`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("from").args(["from_savepoint", "from_checkpoint", "from_nothing"])),
    after_help = "Examples:\n  weir statement resume copy\n  weir statement resume copy --from-savepoint before-upgrade\n  weir statement resume copy --from-checkpoint 41 --accept-duplicates\n  weir statement resume copy --from-nothing --offsets \"orders=partition:0,offset:1200\""
)]
pub(crate) struct Resume {
    /// Its name.
    pub(crate) name: String,
    /// Go on at this savepoint.
    #[arg(long, value_name = "SAVEPOINT")]
    pub(crate) from_savepoint: Option<String>,
    /// Go on at an older checkpoint, whose epoch `checkpoints` shows.
    #[arg(long, value_name = "EPOCH", requires = "accept_duplicates")]
    pub(crate) from_checkpoint: Option<u64>,
    /// Rows written since that checkpoint may be written again.
    #[arg(long, requires = "from_checkpoint")]
    pub(crate) accept_duplicates: bool,
    /// Start without state.
    #[arg(long)]
    pub(crate) from_nothing: bool,
    /// Where a topic is read from then. May be given several times; other topics start where their options say.
    #[arg(long, value_name = "TOPIC=OFFSETS", requires = "from_nothing")]
    pub(crate) offsets: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The server.
    #[command(flatten)]
    pub(crate) server: Server,
}

/// Options of `weir statement export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir statement export copy --out copy-export\n  weir statement export copy --savepoint before-upgrade --out copy-export"
)]
pub(crate) struct Export {
    /// Its name.
    pub(crate) name: String,
    /// Directory that is made; it must not exist.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Which savepoint; a new one is taken otherwise.
    #[arg(long, value_name = "SAVEPOINT")]
    pub(crate) savepoint: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The server.
    #[command(flatten)]
    pub(crate) server: Server,
}

/// Options of `weir statement import`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir statement import copy-export --start\n  weir statement import copy-export --name copy-2 --url http://127.0.0.1:9090"
)]
pub(crate) struct Import {
    /// Directory that `export` has made.
    pub(crate) dir: PathBuf,
    /// Another name.
    #[arg(long, value_name = "NAME", conflicts_with = "take_over")]
    pub(crate) name: Option<String>,
    /// Another compute pool; the default one when the exported one is not there.
    #[arg(long, value_name = "ID")]
    pub(crate) pool: Option<String>,
    /// Start it at once; it is STOPPED otherwise.
    #[arg(long)]
    pub(crate) start: bool,
    /// Keep its identity, so that the exported one cannot write any more if it should come back.
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The server.
    #[command(flatten)]
    pub(crate) server: Server,
}
