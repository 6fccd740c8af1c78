//! The journal's events and its quarantine as a backlog.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Filter, Journal, JournalError, Reader, Record, Table};
use crate::destination::PublishError;
use crate::destination::backlog::{Backlog, Cursor, Mark, Message, Selection, stays};

/// Rows that are looked at in one go, without their data.
const PAGE: usize = 256;

/// Rows of one table, from behind a sequence to what was the last one at the start.
pub struct JournalBacklog {
    journal: Arc<Journal>,
    table: Table,
    reader: Option<Reader>,
    filter: Filter,
    /// Looked at and selected, not yet read whole, each with how many were passed over before it.
    page: VecDeque<(u64, Record)>,
    passed_over: u64,
    read_all: bool,
    total: u64,
    /// The last sequence that is done with, and the last of all.
    done: i64,
    end: i64,
}

impl JournalBacklog {
    /// Of [`Table::Events`] or [`Table::Quarantine`]. Blocks.
    pub fn open(
        journal: &Arc<Journal>,
        table: Table,
        selection: &Selection,
        cursor: &Cursor,
    ) -> Result<Self, JournalError> {
        let reader = Reader::open(journal.path())?;
        let (after, end) = match cursor.journal {
            Some(left) => left,
            None => (0, reader.last(table)?),
        };
        let one = |list: &[String]| match list {
            [one] => Some(one.clone()),
            _ => None,
        };
        let filter = Filter {
            id: one(&selection.ids),
            source: one(&selection.sources),
            since: selection.since,
            until: selection.until,
            after: Some(after),
            up_to: Some(end),
            limit: Some(PAGE),
            ..Filter::default()
        };
        Ok(Self {
            journal: journal.clone(),
            table,
            total: reader.count(table, &filter)?,
            reader: Some(reader),
            filter,
            page: VecDeque::new(),
            passed_over: 0,
            read_all: false,
            done: after,
            end,
        })
    }

    /// Reading blocks: not on the threads that serve.
    async fn read<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Reader) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, PublishError> {
        let down = |error: &dyn std::fmt::Display| PublishError::Down(error.to_string());
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(self.journal.path()).map_err(|error| down(&error))?,
        };
        let (reader, result) = tokio::task::spawn_blocking(move || {
            let result = work(&reader);
            (reader, result)
        })
        .await
        .map_err(|error| down(&error))?;
        self.reader = Some(reader);
        result.map_err(|error| down(&error))
    }
}

#[async_trait::async_trait]
impl Backlog for JournalBacklog {
    fn total(&self) -> u64 {
        self.total
    }

    async fn next(&mut self, selection: &Selection) -> Result<(u64, Option<Message>), PublishError> {
        let table = self.table;
        loop {
            while let Some((passed_over, row)) = self.page.pop_front() {
                let sequence = row.sequence;
                // What retention or somebody else has removed since is gone.
                let Some(record) = self.read(move |reader| reader.show(table, sequence)).await? else {
                    self.passed_over += passed_over + 1;
                    continue;
                };
                let passed_over = std::mem::take(&mut self.passed_over) + passed_over;
                let journal = self.journal.clone();
                let message = Message {
                    place: format!("{} {sequence}", table.name()),
                    event: record.event().map_err(|error| error.to_string()),
                    mark: match table {
                        Table::Quarantine => Mark::Leaves,
                        Table::Events | Table::Spool => Mark::Sequence(sequence),
                    },
                    done: match table {
                        Table::Quarantine => Box::new(move || {
                            Box::pin(async move { journal.remove(table, vec![sequence]).await.map(|_| ()) })
                        }),
                        Table::Events | Table::Spool => stays(),
                    },
                };
                return Ok((passed_over, Some(message)));
            }
            if self.read_all {
                return Ok((std::mem::take(&mut self.passed_over), None));
            }
            let filter = self.filter.clone();
            let rows = self.read(move |reader| reader.list(table, &filter)).await?;
            self.read_all = rows.len() < PAGE;
            self.filter.after = rows.last().map_or(self.filter.after, |row| Some(row.sequence));
            for row in rows {
                if selection.takes(&row.id, &row.kind, &row.source, Some(row.stored)) {
                    self.page.push_back((std::mem::take(&mut self.passed_over), row));
                } else {
                    self.passed_over += 1;
                }
            }
        }
    }

    fn passed(&mut self, mark: &Mark) {
        if let Mark::Sequence(sequence) = mark {
            self.done = self.done.max(*sequence);
        }
    }

    fn cursor(&self) -> Cursor {
        Cursor {
            journal: (self.table == Table::Events).then_some((self.done, self.end)),
            ..Cursor::default()
        }
    }

    async fn close(self: Box<Self>) {}
}
