//! Which shards of a stream may be read: parents before children.
//!
//! A list of shards can be incomplete: a page is lost, or a server answers in part. So a shard counts as absent only
//! once several lists in a row lack it.

use std::collections::{BTreeMap, BTreeSet};

/// How many lists in a row must lack a shard before it counts as absent. Pauses lie between them.
pub const LISTS_TO_BELIEVE: u32 = 3;

/// A shard as the stream describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDescription {
    /// Its ShardId.
    pub id: String,
    /// Its ParentShardId: the shard that it continues.
    pub parent: Option<String>,
    /// Whether more records can come.
    pub state: ShardState,
}

/// What a description says about the end of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// It has no EndingSequenceNumber.
    Open,
    /// It has one. Some servers give one to every shard.
    Ended,
}

/// Which shards of a stream may be read: a child only after its parent, so that the changes of an item are seen in
/// order across shards.
#[derive(Debug, Default)]
pub struct Lineage {
    shards: BTreeMap<String, Member>,
    /// Lists in a row that named no shard at all.
    empty_lists: u32,
}

#[derive(Debug)]
struct Member {
    parent: Option<String>,
    stage: Stage,
    /// Lists in a row that lacked it.
    missed: u32,
}

impl Member {
    fn is_absent(&self) -> bool {
        self.missed >= LISTS_TO_BELIEVE
    }

    fn is_listed(&self) -> bool {
        self.missed == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It was never listed: a child or an earlier run names it.
    Named,
    Waiting,
    Reading,
    Finished,
}

impl Lineage {
    /// Says that an earlier run knew a shard. Nothing is to be done for it unless it is listed.
    pub fn name(&mut self, id: &str) {
        self.enter(id, Stage::Named);
    }

    /// Says that an earlier run has begun to read a shard. It is read on even if no list has it.
    pub fn resume(&mut self, id: &str) {
        self.enter(id, Stage::Waiting);
    }

    /// Says that all of a shard is dealt with, now or in an earlier run.
    pub fn finish(&mut self, id: &str) {
        self.enter(id, Stage::Finished);
    }

    fn enter(&mut self, id: &str, stage: Stage) {
        let member = self.shards.entry(id.to_owned()).or_insert(Member {
            parent: None,
            stage,
            missed: 0,
        });
        member.stage = stage;
    }

    /// Takes a list of the stream's shards, which may lack some.
    pub fn observe(&mut self, list: impl IntoIterator<Item = ShardDescription>) {
        let mut listed = BTreeSet::new();
        for shard in list {
            let member = self.shards.entry(shard.id.clone()).or_insert(Member {
                parent: None,
                stage: Stage::Named,
                missed: 0,
            });
            if member.stage == Stage::Named {
                member.stage = Stage::Waiting;
            }
            if shard.parent.is_some() {
                member.parent = shard.parent;
            }
            listed.insert(shard.id);
        }
        self.empty_lists = if listed.is_empty() {
            self.empty_lists.saturating_add(1)
        } else {
            0
        };
        let parents: Vec<String> = self
            .shards
            .values()
            .filter_map(|member| member.parent.clone())
            .collect();
        for parent in parents {
            self.shards.entry(parent).or_insert(Member {
                parent: None,
                stage: Stage::Named,
                missed: 0,
            });
        }
        for (id, member) in &mut self.shards {
            member.missed = if listed.contains(id) {
                0
            } else {
                member.missed.saturating_add(1)
            };
        }
    }

    /// The shards that may be read from now on: those whose parent is finished, does not exist or is absent from the
    /// stream. Each is returned once.
    pub fn start_ready(&mut self) -> Vec<String> {
        let may_follow = |parent: &Member| match parent.stage {
            Stage::Finished => true,
            Stage::Named => parent.is_absent(),
            Stage::Waiting | Stage::Reading => false,
        };
        let may_start = |member: &Member| {
            let parent = member
                .parent
                .as_ref()
                .and_then(|parent| self.shards.get(parent));
            member.stage == Stage::Waiting
                && (member.is_listed() || member.is_absent())
                && parent.is_none_or(may_follow)
        };
        let ready: Vec<String> = self
            .shards
            .iter()
            .filter(|(_, member)| may_start(member))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &ready {
            if let Some(member) = self.shards.get_mut(id) {
                member.stage = Stage::Reading;
            }
        }
        ready
    }

    /// The shards that continue this one directly.
    pub fn children(&self, id: &str) -> impl Iterator<Item = &str> {
        self.shards
            .iter()
            .filter(move |(_, member)| member.parent.as_deref() == Some(id))
            .map(|(child, _)| child.as_str())
    }

    /// Whether a known shard counts as absent, since enough lists lacked it.
    pub fn is_absent(&self, id: &str) -> bool {
        self.shards.get(id).is_some_and(Member::is_absent)
    }

    /// Drops a shard that is absent.
    pub fn forget(&mut self, id: &str) {
        self.shards.remove(id);
    }

    /// Whether the last lists lacked something, and not often enough to believe it: list again soon.
    pub fn is_in_doubt(&self) -> bool {
        let is_open = |lists: u32| (1..LISTS_TO_BELIEVE).contains(&lists);
        let waits = |member: &Member| matches!(member.stage, Stage::Named | Stage::Waiting);
        is_open(self.empty_lists)
            || self
                .shards
                .values()
                .any(|member| waits(member) && is_open(member.missed))
    }

    /// Whether every known shard is finished, or absent without having been read.
    pub fn is_finished(&self) -> bool {
        self.shards.values().all(|member| match member.stage {
            Stage::Finished => true,
            Stage::Named => member.is_absent(),
            Stage::Waiting | Stage::Reading => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parent: Option<&str>) -> ShardDescription {
        ShardDescription {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            state: ShardState::Open,
        }
    }

    #[test]
    fn a_child_is_read_after_its_parent() {
        let mut lineage = Lineage::default();
        lineage.finish("done before");
        let list = [
            shard("root", None),
            shard("left", Some("root")),
            shard("right", Some("root")),
            shard("done before", None),
            shard("child", Some("done before")),
        ];
        lineage.observe(list);
        assert_eq!(lineage.start_ready(), ["child", "root"]);
        assert!(lineage.start_ready().is_empty());

        // A shard that is trimmed while it is read still holds back its children.
        for _ in 0..LISTS_TO_BELIEVE {
            lineage.observe([shard("left", Some("root")), shard("right", Some("root"))]);
            assert!(lineage.start_ready().is_empty());
        }
        lineage.finish("root");
        assert_eq!(lineage.start_ready(), ["left", "right"]);

        for id in ["left", "right"] {
            lineage.finish(id);
        }
        assert!(!lineage.is_finished());
        lineage.finish("child");
        assert!(lineage.is_finished());
    }

    #[test]
    fn a_parent_counts_as_trimmed_once_several_lists_lack_it() {
        let mut lineage = Lineage::default();
        for _ in 1..LISTS_TO_BELIEVE {
            lineage.observe([shard("child", Some("parent"))]);
            assert!(lineage.is_in_doubt());
            assert!(lineage.start_ready().is_empty());
        }
        lineage.observe([shard("child", Some("parent"))]);
        assert!(!lineage.is_in_doubt());
        assert_eq!(lineage.start_ready(), ["child"]);
    }

    #[test]
    fn a_parent_that_one_list_lacks_is_read_first() {
        let mut lineage = Lineage::default();
        lineage.observe([shard("child", Some("parent"))]);
        lineage.observe([shard("child", Some("parent")), shard("parent", None)]);
        assert_eq!(lineage.start_ready(), ["parent"]);
        // Nor does a list that lacks both make anything of them.
        lineage.observe([]);
        assert!(lineage.start_ready().is_empty());
        lineage.finish("parent");
        lineage.observe([shard("child", None)]);
        assert_eq!(lineage.start_ready(), ["child"]);
    }

    #[test]
    fn an_empty_list_is_in_doubt_until_it_was_repeated() {
        let mut lineage = Lineage::default();
        for _ in 1..LISTS_TO_BELIEVE {
            lineage.observe([]);
            assert!(lineage.is_in_doubt());
        }
        lineage.observe([]);
        assert!(!lineage.is_in_doubt());
    }

    #[test]
    fn a_shard_that_was_begun_is_read_on_though_no_list_has_it() {
        let mut lineage = Lineage::default();
        lineage.resume("begun");
        lineage.name("noted");
        for _ in 1..LISTS_TO_BELIEVE {
            lineage.observe([shard("other", None)]);
            assert!(!lineage.start_ready().contains(&"begun".to_owned()));
        }
        lineage.observe([shard("other", None)]);
        assert_eq!(lineage.start_ready(), ["begun"]);
        assert!(lineage.is_absent("noted"));
        lineage.finish("begun");
        lineage.finish("other");
        assert!(lineage.is_finished());
    }
}
