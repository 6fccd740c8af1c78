//! A database file read page by page, without asking its indexes the way: for files that SQLite refuses.
//! <https://www.sqlite.org/fileformat2.html>, and for the log its chapter 4.
//!
//! Records are found where they lie, in the leaf pages of tables. Whether one is whole is not decided here: its digest
//! says so. Only reads.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::schema::beside;

/// Every journal has pages of this size, and no reserved bytes in them.
const PAGE: usize = 4096;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Kinds of pages: a leaf of a table, a leaf of an index (a table without row ids is one).
const TABLE_LEAF: u8 = 0x0d;
const INDEX_LEAF: u8 = 0x0a;
/// Entries of a page of the pointer map, of five bytes each; the kind of a free page in it.
const MAPPED: u64 = (PAGE / 5) as u64;
const MAPPED_FREE: u8 = 2;

/// A value of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
    /// A number that no journal holds.
    Other,
}

/// The file and its log, as one sequence of pages.
pub(super) struct Pages {
    main: File,
    pages: u64,
    log: Option<(File, HashMap<u64, u64>)>,
    /// Pages that the file calls free: what they hold was removed.
    free: Option<BTreeSet<u64>>,
}

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let main = File::open(path)?;
        let mut pages = main.metadata()?.len().div_ceil(PAGE as u64);
        let log = match File::open(beside(path, "-wal")) {
            Ok(file) => {
                let frames = frames(&file)?;
                pages = pages.max(frames.keys().copied().max().unwrap_or_default());
                Some((file, frames))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut all = Self {
            main,
            pages,
            log,
            free: None,
        };
        all.free = all.free_pages();
        Ok(all)
    }

    /// The records of every leaf page, each with its row id (0 in an index): of what is damaged, as many as can be told.
    pub(super) fn records(&self) -> impl Iterator<Item = (i64, Vec<Value>)> {
        // Page 1 holds the schema.
        (2..=self.pages).flat_map(|number| self.records_of(number))
    }

    fn records_of(&self, number: u64) -> Vec<(i64, Vec<Value>)> {
        let Some(page) = self.page(number) else {
            return Vec::new();
        };
        let kind = page[0];
        if !matches!(kind, TABLE_LEAF | INDEX_LEAF) || self.is_free(number) {
            return Vec::new();
        }
        let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
        let pointers = page[8..].chunks_exact(2).take(cells);
        pointers
            .filter_map(|pointer| {
                let at = usize::from(u16::from_be_bytes([pointer[0], pointer[1]]));
                self.cell(&page, at, kind == TABLE_LEAF)
            })
            .collect()
    }

    fn cell(&self, page: &[u8], at: usize, table: bool) -> Option<(i64, Vec<Value>)> {
        let mut rest = page.get(at..)?;
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let row = if table { varint(&mut rest)? } else { 0 };
        // How much of it lies in this page: chapter 1.6.
        let most = if table { PAGE - 35 } else { (PAGE - 12) * 64 / 255 - 23 };
        let payload = if length <= most {
            rest.get(..length)?.to_vec()
        } else {
            let least = (PAGE - 12) * 32 / 255 - 23;
            let fitting = least + (length - least) % (PAGE - 4);
            let here = if fitting <= most { fitting } else { least };
            let (first, next) = (rest.get(..here)?, rest.get(here..here + 4)?);
            self.overflowing(first, u32::from_be_bytes(next.try_into().ok()?), length)?
        };
        Some((row, values(&payload)?))
    }

    /// Follows the chain of pages that a long record goes on in.
    fn overflowing(&self, first: &[u8], mut next: u32, length: usize) -> Option<Vec<u8>> {
        // No longer than the file: a damaged length must not be believed.
        if length as u64 > self.pages * PAGE as u64 {
            return None;
        }
        let mut payload = first.to_vec();
        while payload.len() < length {
            let page = self.page(next.into()).filter(|_| next > 1)?;
            let take = (length - payload.len()).min(PAGE - 4);
            payload.extend_from_slice(&page[4..4 + take]);
            next = u32::from_be_bytes([page[0], page[1], page[2], page[3]]);
        }
        Some(payload)
    }

    /// The page as the last commit left it. What a file that was cut off lacks is zeros.
    fn page(&self, number: u64) -> Option<Vec<u8>> {
        if number == 0 || number > self.pages {
            return None;
        }
        let mut page = vec![0; PAGE];
        if let Some((log, frames)) = &self.log
            && let Some(at) = frames.get(&number)
        {
            log.read_exact_at(&mut page, *at).ok()?;
            return Some(page);
        }
        let mut read = 0;
        while read < PAGE {
            let at = (number - 1) * PAGE as u64 + read as u64;
            match self.main.read_at(&mut page[read..], at) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A sector that cannot be read takes its page with it.
                Err(_) => return None,
            }
        }
        Some(page)
    }

    /// Both the list and the map say so; where the list cannot be walked, the map alone. Rather a removed record comes
    /// back than one that is there is passed over.
    fn is_free(&self, number: u64) -> bool {
        let mapped = self.mapped(number) == Some(MAPPED_FREE);
        match &self.free {
            Some(free) => free.contains(&number) && mapped,
            None => mapped,
        }
    }

    /// What the pointer map says a page is: chapter 1.8.
    fn mapped(&self, number: u64) -> Option<u8> {
        let map = (number.checked_sub(2)? / (MAPPED + 1)) * (MAPPED + 1) + 2;
        let entry = usize::try_from(number.checked_sub(map + 1)?).ok()?;
        self.page(map)?.get(entry * 5).copied()
    }

    /// The list of free pages: chapter 1.5. `None` when it cannot be walked.
    fn free_pages(&self) -> Option<BTreeSet<u64>> {
        let header = self.page(1).filter(|page| page.starts_with(MAGIC))?;
        let number =
            |page: &[u8], at: usize| Some(u64::from(u32::from_be_bytes(page.get(at..at + 4)?.try_into().ok()?)));
        let mut free = BTreeSet::new();
        let mut trunk = number(&header, 32)?;
        while trunk != 0 {
            let page = self.page(trunk)?;
            if !free.insert(trunk) {
                return None;
            }
            let leaves = usize::try_from(number(&page, 4)?).ok()?;
            if leaves > PAGE / 4 - 2 {
                return None;
            }
            for leaf in 0..leaves {
                free.insert(number(&page, 8 + leaf * 4)?);
            }
            trunk = number(&page, 0)?;
        }
        Some(free)
    }
}

/// Where the log holds the last committed image of each page. A torn tail ends it, as it does for SQLite.
fn frames(log: &File) -> io::Result<HashMap<u64, u64>> {
    const FRAME: usize = 24 + PAGE;
    let mut committed = HashMap::new();
    let mut header = [0; 32];
    if log.read_exact_at(&mut header, 0).is_err() {
        return Ok(committed);
    }
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let big_endian = match word(&header, 0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return Ok(committed),
    };
    let mut sum = checksum((0, 0), &header[..24], big_endian);
    if word(&header, 8) as usize != PAGE || (word(&header, 24), word(&header, 28)) != sum {
        return Ok(committed);
    }
    let (mut at, mut open) = (32, Vec::new());
    let mut frame = vec![0; FRAME];
    while log.read_exact_at(&mut frame, at).is_ok() {
        sum = checksum(sum, &frame[..8], big_endian);
        sum = checksum(sum, &frame[24..], big_endian);
        if frame[8..16] != header[16..24] || (word(&frame, 16), word(&frame, 20)) != sum {
            break;
        }
        open.push((u64::from(word(&frame, 0)), at + 24));
        // The last frame of a transaction tells the size of the database.
        if word(&frame, 4) != 0 {
            committed.extend(open.drain(..));
        }
        at += FRAME as u64;
    }
    Ok(committed)
}

fn checksum((mut one, mut two): (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let bytes = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        };
        one = one.wrapping_add(word(0)).wrapping_add(two);
        two = two.wrapping_add(word(4)).wrapping_add(one);
    }
    (one, two)
}

/// A number of one to nine bytes: chapter 1.6.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value: i64 = 0;
    for read in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if read == 8 {
            return Some((value << 8) | i64::from(*byte));
        }
        value = (value << 7) | i64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The values of a record: chapter 2.1.
fn values(payload: &[u8]) -> Option<Vec<Value>> {
    let mut rest = payload;
    let header = usize::try_from(varint(&mut rest)?).ok()?;
    let used = payload.len() - rest.len();
    let mut kinds = payload.get(used..header)?;
    let mut body = payload.get(header..)?;
    let mut values = Vec::new();
    while !kinds.is_empty() {
        let kind = varint(&mut kinds)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let bytes = body.get(..length)?;
        body = &body[length..];
        values.push(match kind {
            0 => Value::Null,
            1..=6 => {
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
                Value::Integer(bytes.iter().fold(sign, |value, byte| (value << 8) | i64::from(*byte)))
            }
            7 => Value::Other,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            kind if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => Value::Text(bytes.to_vec()),
        });
    }
    Some(values)
}
