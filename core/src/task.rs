//! Tasks: which cells are given, and which are to be made.

use crate::error::{Error, Result};
use crate::layout::Modality;
use std::fmt;
use std::str::FromStr;

/// The given cells of a task, in cell order: video `0..N`, audio `N..2N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellMask {
    given: Vec<bool>,
}

impl CellMask {
    /// Nothing given, over N segments.
    pub fn none(segments: usize) -> Self {
        Self { given: vec![false; 2 * segments] }
    }

    /// N.
    pub fn segments(&self) -> usize {
        self.given.len() / 2
    }

    /// One flag a cell, `(2N,)`.
    pub fn cells(&self) -> &[bool] {
        &self.given
    }

    /// Whether a cell is given.
    pub fn is_given(&self, modality: Modality, segment: usize) -> bool {
        self.given[self.index(modality, segment)]
    }

    /// Whether any cell of a modality is given.
    pub fn needs(&self, modality: Modality) -> bool {
        (0..self.segments()).any(|n| self.is_given(modality, n))
    }

    /// Marks a cell as given.
    pub fn give(&mut self, modality: Modality, segment: usize) {
        let index = self.index(modality, segment);
        self.given[index] = true;
    }

    fn index(&self, modality: Modality, segment: usize) -> usize {
        match modality {
            Modality::Video => segment,
            Modality::Audio => self.segments() + segment,
        }
    }

    /// Reads `video:0-2,4;audio:0`: modalities separated by `;`, segments by `,`, ranges inclusive, `all` for all.
    ///
    /// # Errors
    /// [`Error::Value`] naming the part that cannot be read or lies outside `segments`.
    pub fn parse(text: &str, segments: usize) -> Result<Self> {
        let mut mask = Self::none(segments);
        if text.trim().is_empty() {
            return Err(unreadable(text, segments));
        }
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, list) = part.split_once(':').ok_or_else(|| unreadable(part, segments))?;
            let modality = Modality::ALL
                .into_iter()
                .find(|m| m.name() == name.trim())
                .ok_or_else(|| Error::value("modality of given cells", "video or audio", name.trim()))?;
            for item in list.split(',').map(str::trim) {
                for segment in parse_range(item, segments)? {
                    mask.give(modality, segment);
                }
            }
        }
        Ok(mask)
    }
}

fn unreadable(part: &str, segments: usize) -> Error {
    let expected =
        format!("text such as video:0-1;audio:0 with segments 0 to {}", segments.saturating_sub(1));
    Error::value("given cells", expected, format!("'{part}'"))
}

fn parse_range(item: &str, segments: usize) -> Result<std::ops::RangeInclusive<usize>> {
    if item == "all" {
        return Ok(0..=segments - 1);
    }
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| unreadable(item, segments));
    let (first, last) = match item.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(item)?, number(item)?),
    };
    if first > last || last >= segments { Err(unreadable(item, segments)) } else { Ok(first..=last) }
}

impl fmt::Display for CellMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for modality in Modality::ALL {
            let given: Vec<_> =
                (0..self.segments()).filter(|&n| self.is_given(modality, n)).map(|n| n.to_string()).collect();
            if !given.is_empty() {
                parts.push(format!("{}:{}", modality.name(), given.join(",")));
            }
        }
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(";"))
    }
}

/// What is given and what is made (Kim et al. 2024, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Everything is made.
    Joint,
    /// All sound is given.
    AudioToVideo,
    /// All picture is given.
    VideoToAudio,
    /// The first n segments of both are given.
    Continue(usize),
    /// The first and the last segment of both are given.
    Inpaint,
    /// Any cells, in the text form of [`CellMask::parse`].
    Custom(String),
}

impl Task {
    /// Every task with a name, at its usual setting.
    pub fn named() -> Vec<Task> {
        vec![Task::Joint, Task::AudioToVideo, Task::VideoToAudio, Task::Continue(1), Task::Inpaint]
    }

    /// The cells that the task gives, over N segments.
    ///
    /// # Errors
    /// [`Error::Value`] if the task leaves nothing to make, or names a segment that does not exist.
    pub fn given(&self, segments: usize) -> Result<CellMask> {
        let mut mask = CellMask::none(segments);
        let both =
            |mask: &mut CellMask, segment| Modality::ALL.into_iter().for_each(|m| mask.give(m, segment));
        match self {
            Task::Joint => {}
            Task::AudioToVideo => (0..segments).for_each(|n| mask.give(Modality::Audio, n)),
            Task::VideoToAudio => (0..segments).for_each(|n| mask.give(Modality::Video, n)),
            Task::Continue(n) => (0..(*n).min(segments)).for_each(|n| both(&mut mask, n)),
            Task::Inpaint => {
                both(&mut mask, 0);
                both(&mut mask, segments - 1);
            }
            Task::Custom(text) => mask = CellMask::parse(text, segments)?,
        }
        if mask.given.iter().all(|&given| given) {
            let expected = format!("at least one of the {} cells left to make", 2 * segments);
            return Err(Error::value(format!("task {self}"), expected, "all given"));
        }
        Ok(mask)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Joint => f.write_str("joint"),
            Task::AudioToVideo => f.write_str("a2v"),
            Task::VideoToAudio => f.write_str("v2a"),
            Task::Continue(n) => write!(f, "continue:{n}"),
            Task::Inpaint => f.write_str("inpaint"),
            Task::Custom(text) => f.write_str(text),
        }
    }
}

impl FromStr for Task {
    type Err = Error;

    /// `joint`, `a2v`, `v2a`, `continue` (= `continue:1`), `continue:N`, `inpaint`, or given cells as text.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "joint" => Ok(Task::Joint),
            "a2v" => Ok(Task::AudioToVideo),
            "v2a" => Ok(Task::VideoToAudio),
            "continue" => Ok(Task::Continue(1)),
            "inpaint" | "interpolate" => Ok(Task::Inpaint),
            _ => {
                if let Some(n) =
                    text.strip_prefix("continue:").and_then(|n| n.parse().ok()).filter(|&n| n > 0)
                {
                    return Ok(Task::Continue(n));
                }
                if text.contains("video:") || text.contains("audio:") {
                    return Ok(Task::Custom(text.to_owned()));
                }
                let expected =
                    "joint, a2v, v2a, continue, continue:N, inpaint, or cells such as video:0-1;audio:0";
                Err(Error::value("task", expected, format!("'{text}'")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_comes_back() {
        let mask = CellMask::parse(" video:0-2,4; audio:0 ", 5).unwrap();
        assert_eq!(mask.to_string(), "video:0,1,2,4;audio:0");
        assert_eq!(CellMask::parse(&mask.to_string(), 5).unwrap(), mask);
        assert_eq!(CellMask::parse("audio:all", 2).unwrap().cells(), [false, false, true, true]);
    }

    #[test]
    fn segments_that_do_not_exist_are_refused() {
        for text in ["video:5", "video:2-1", "sound:1", "video", "video:x", ""] {
            assert!(CellMask::parse(text, 5).is_err(), "{text}");
        }
    }

    #[test]
    fn tasks_give_their_cells_and_leave_something_to_make() {
        let given = |task: Task| task.given(3).unwrap().to_string();
        assert_eq!(given(Task::Joint), "nothing");
        assert_eq!(given(Task::AudioToVideo), "audio:0,1,2");
        assert_eq!(given(Task::Continue(2)), "video:0,1;audio:0,1");
        assert_eq!(given(Task::Inpaint), "video:0,2;audio:0,2");
        assert!(Task::Continue(3).given(3).is_err());
        assert!("continue:2".parse::<Task>().unwrap() == Task::Continue(2) && "dub".parse::<Task>().is_err());
        assert!("continue:0".parse::<Task>().is_err());
    }
}
