//! The input of a subtask: its channels merged into one sequence of events.
//!
//! Place in the flow: between queues and operator. Invariant: the watermark is the minimum over active channels and never goes
//! back; after a channel's barrier nothing of it passes until all channels that have not ended brought the same barrier.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::{Batch, StreamElement};
use crate::task::exchange::Queue;
use crate::time::EpochMillis;

/// The input of a subtask.
#[derive(Debug)]
pub(super) struct Gate {
    /// Channels of all inputs.
    channels: Vec<Channel>,
    /// Where the next look begins, so that no channel starves.
    next: usize,
    /// The merged watermark.
    watermark_ms: EpochMillis,
    /// Whether every channel is idle.
    is_idle: bool,
    /// The barrier being aligned.
    aligning: Option<u64>,
    /// Whether the end was reported.
    has_ended: bool,
    /// Events that follow the one returned last: two at most.
    follow_ups: VecDeque<Event>,
}

/// One channel: a queue from one sending subtask.
#[derive(Debug)]
struct Channel {
    /// Which input of the operator.
    input: usize,
    /// Where elements come from.
    queue: Arc<Queue>,
    /// Its own watermark.
    watermark_ms: EpochMillis,
    /// What it is doing.
    state: ChannelState,
    /// Whether it brought the barrier being aligned.
    is_blocked: bool,
}

/// What a channel is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    /// Holds back the watermark.
    Active,
    /// Does not hold it back.
    Idle,
    /// Sends nothing any more.
    Ended,
}

/// What a subtask must react to.
#[derive(Debug)]
pub(super) enum Event {
    /// Rows of an input.
    Batch(usize, Batch),
    /// The merged watermark has advanced.
    Watermark(EpochMillis),
    /// All channels brought this barrier.
    Barrier(u64),
    /// Every channel has become idle.
    Idle,
    /// A channel has become active after all were idle.
    Active,
    /// Every channel has ended.
    EndOfInput,
}

impl Gate {
    /// A gate over `(input, queue)` channels.
    pub(super) fn new(channels: Vec<(usize, Arc<Queue>)>) -> Self {
        let channels = channels
            .into_iter()
            .map(|(input, queue)| Channel {
                input,
                queue,
                watermark_ms: EpochMillis::MIN,
                state: ChannelState::Active,
                is_blocked: false,
            })
            .collect();
        Self {
            channels,
            next: 0,
            watermark_ms: EpochMillis::MIN,
            is_idle: false,
            aligning: None,
            has_ended: false,
            follow_ups: VecDeque::new(),
        }
    }

    /// Bytes that wait in the channels.
    pub(super) fn memory_bytes(&self) -> usize {
        let channels = self.channels.iter();
        channels.map(|channel| channel.queue.memory_bytes()).sum()
    }

    /// The next event, if there is one now.
    pub(super) fn poll(&mut self) -> Option<Event> {
        if let Some(event) = self.follow_ups.pop_front() {
            return Some(event);
        }
        if self.has_ended {
            return None;
        }
        let count = self.channels.len();
        let mut looked = 0;
        while looked < count {
            let index = (self.next + looked) % count;
            let channel = &mut self.channels[index];
            if channel.is_blocked || channel.state == ChannelState::Ended {
                looked += 1;
                continue;
            }
            let Some(element) = channel.queue.pop() else {
                looked += 1;
                continue;
            };
            if let Some(event) = self.receive(index, element) {
                self.next = (index + 1) % count;
                return Some(event);
            }
        }
        None
    }

    /// What an element of a channel means for the subtask.
    fn receive(&mut self, index: usize, element: StreamElement) -> Option<Event> {
        let channel = &mut self.channels[index];
        match element {
            StreamElement::Batch(batch) => Some(Event::Batch(channel.input, batch)),
            StreamElement::Watermark(watermark_ms) => {
                channel.watermark_ms = channel.watermark_ms.max(watermark_ms);
                self.merge()
            }
            StreamElement::Barrier(epoch) => {
                channel.is_blocked = true;
                self.aligning = Some(epoch);
                self.align()
            }
            StreamElement::Idle => {
                channel.state = ChannelState::Idle;
                self.merge()
            }
            StreamElement::Active => {
                channel.state = ChannelState::Active;
                if std::mem::replace(&mut self.is_idle, false) {
                    Some(Event::Active)
                } else {
                    None
                }
            }
            StreamElement::EndOfInput => {
                channel.state = ChannelState::Ended;
                if self
                    .channels
                    .iter()
                    .all(|channel| channel.state == ChannelState::Ended)
                {
                    self.has_ended = true;
                    return Some(Event::EndOfInput);
                }
                // A barrier that waited only for this channel is complete now. What the end does to the watermark belongs to its epoch:
                // the channel that has ended brings nothing behind the barrier, and what is emitted behind the last one is emitted
                // again after a restore.
                let merged = self.merge();
                let barrier = self.align();
                if merged.is_none() {
                    return barrier;
                }
                self.follow_ups.extend(barrier);
                merged
            }
        }
    }

    /// The barrier, once every channel that has not ended brought it.
    fn align(&mut self) -> Option<Event> {
        let epoch = self.aligning?;
        let is_complete = self
            .channels
            .iter()
            .all(|channel| channel.is_blocked || channel.state == ChannelState::Ended);
        if !is_complete {
            return None;
        }
        self.aligning = None;
        for channel in &mut self.channels {
            channel.is_blocked = false;
        }
        Some(Event::Barrier(epoch))
    }

    /// The merged watermark, if it has advanced, or idleness, if all channels became idle.
    fn merge(&mut self) -> Option<Event> {
        let active = self
            .channels
            .iter()
            .filter(|channel| channel.state == ChannelState::Active);
        match active.map(|channel| channel.watermark_ms).min() {
            Some(watermark_ms) => self.advance(watermark_ms),
            None if self.is_idle => None,
            None => {
                // Nothing holds back the watermark any more: what the furthest idle channel promised holds, then idleness.
                self.is_idle = true;
                let idle = self
                    .channels
                    .iter()
                    .filter(|channel| channel.state == ChannelState::Idle);
                let promised = idle.map(|channel| channel.watermark_ms).max();
                let advanced = promised.and_then(|watermark_ms| self.advance(watermark_ms));
                if advanced.is_some() {
                    self.follow_ups.push_back(Event::Idle);
                    return advanced;
                }
                Some(Event::Idle)
            }
        }
    }

    /// Raises the merged watermark.
    fn advance(&mut self, watermark_ms: EpochMillis) -> Option<Event> {
        if watermark_ms <= self.watermark_ms {
            return None;
        }
        self.watermark_ms = watermark_ms;
        Some(Event::Watermark(watermark_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Waker;

    /// A gate over `count` channels of input 0, and the queues that feed it.
    fn gate(count: usize) -> (Gate, Vec<Arc<Queue>>) {
        let waker = Waker::default();
        let queues: Vec<_> = (0..count)
            .map(|_| Queue::new(1 << 20, &waker, &waker, true))
            .collect();
        (
            Gate::new(queues.iter().map(|queue| (0, queue.clone())).collect()),
            queues,
        )
    }

    /// Everything the gate gives now, as text.
    fn drain(gate: &mut Gate) -> Vec<String> {
        std::iter::from_fn(|| gate.poll())
            .map(|event| match event {
                Event::Batch(_, batch) => format!("batch {}", batch.rows),
                other => format!("{other:?}"),
            })
            .collect()
    }

    /// A batch without columns.
    fn rows(rows: usize) -> StreamElement {
        StreamElement::Batch(Batch {
            columns: Vec::new(),
            rows,
            kinds: None,
        })
    }

    #[test]
    fn the_watermark_is_the_minimum_and_idle_channels_do_not_hold_it_back() {
        let (mut gate, queues) = gate(2);
        queues[0].push(StreamElement::Watermark(10));
        assert_eq!(drain(&mut gate), [""; 0]);
        queues[1].push(StreamElement::Watermark(5));
        assert_eq!(drain(&mut gate), ["Watermark(5)"]);
        queues[1].push(StreamElement::Idle);
        assert_eq!(drain(&mut gate), ["Watermark(10)"]);
        queues[0].push(StreamElement::Idle);
        assert_eq!(drain(&mut gate), ["Idle"]);
        queues[1].push(StreamElement::Active);
        queues[1].push(StreamElement::Watermark(20));
        assert_eq!(drain(&mut gate), ["Active", "Watermark(20)"]);
        queues[0].push(StreamElement::EndOfInput);
        queues[1].push(StreamElement::EndOfInput);
        assert_eq!(drain(&mut gate), ["EndOfInput"]);
    }

    #[test]
    fn nothing_passes_a_barrier_until_all_channels_brought_it() {
        let (mut gate, queues) = gate(3);
        queues[0].push(StreamElement::Barrier(1));
        queues[0].push(rows(7));
        queues[1].push(rows(1));
        queues[1].push(StreamElement::Barrier(1));
        assert_eq!(drain(&mut gate), ["batch 1"]);
        queues[2].push(rows(2));
        queues[2].push(StreamElement::EndOfInput);
        assert_eq!(drain(&mut gate), ["batch 2", "Barrier(1)", "batch 7"]);
    }

    #[test]
    fn what_an_end_does_to_the_watermark_comes_before_the_barrier_that_waited_for_it() {
        let (mut gate, queues) = gate(2);
        queues[0].push(StreamElement::Watermark(10));
        queues[0].push(StreamElement::Barrier(1));
        queues[1].push(StreamElement::Watermark(5));
        assert_eq!(drain(&mut gate), ["Watermark(5)"]);
        queues[1].push(StreamElement::EndOfInput);
        assert_eq!(drain(&mut gate), ["Watermark(10)", "Barrier(1)"]);
    }
}
