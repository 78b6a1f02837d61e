//! The world as a process sees it in the middle of a call.
//!
//! Place in the flow: the model's connection and the checkpoint store of a process ask it. Invariant: a process that is stopped by a
//! signal stays where it is, also in the middle of a call, while others go on.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::process::Process;
use super::world::World;
use crate::checkpoint::store::Pause;
use crate::connector::kafka::model::{Conductor, Fate};

/// Turns for which a process stays stopped in the middle of a call: enough for another one to start and to commit.
const PAUSED_TURNS_MAX: u64 = 500;

/// The world as a process sees it.
#[derive(Debug)]
pub(super) struct Within {
    /// The world.
    world: Weak<World>,
    /// The process.
    process: OnceLock<Weak<Process>>,
}

impl Within {
    /// The world as a process sees it that is still to be named.
    pub(super) fn new(world: Weak<World>) -> Arc<Self> {
        Arc::new(Self {
            world,
            process: OnceLock::new(),
        })
    }

    /// Names the process.
    pub(super) fn name(&self, process: &Arc<Process>) {
        self.process.get_or_init(|| Arc::downgrade(process));
    }

    /// The world, which outlives its processes.
    fn world(&self) -> Arc<World> {
        self.world
            .upgrade()
            .expect("processes end with their world")
    }

    /// A call of a process that is stopped by a signal goes on when the process does.
    fn while_paused(&self, world: &World) {
        let Some(process) = self.process.get().and_then(Weak::upgrade) else {
            return;
        };
        let until = world.turns() + PAUSED_TURNS_MAX;
        while process.is_paused() && process.is_live() {
            let is_over = world.turns() > until;
            if !is_over && world.may_call() && world.nobody_runs() {
                world.start_beside();
            } else if is_over || !world.turn() {
                process.pause(false);
            }
        }
    }
}

impl Conductor for Within {
    fn meanwhile(&self) {
        let world = self.world();
        world.meanwhile();
        self.while_paused(&world);
    }

    fn wait(&self, time: Duration) {
        let world = self.world();
        world.wait(time);
        self.while_paused(&world);
    }

    fn fate(&self) -> Fate {
        self.world().fate()
    }

    fn below(&self, end: u64) -> u64 {
        self.world().below(end)
    }
}

impl Pause for Within {
    fn pause(&self, time: Duration) {
        self.wait(time);
    }
}
