//! Pages of a list, as each service cuts and names them. The token is the offset of what comes next; clients may not read it.

use crate::{error::ApiError, node::Node};

/// How an operation pages.
pub(super) struct Pages {
    /// The member that asks for a size.
    pub size: &'static str,
    /// The member that carries the token of an earlier answer.
    pub token: &'static str,
    /// The largest size.
    pub most: usize,
    /// The size if none is asked for.
    pub usual: usize,
    /// The code for a size out of bounds.
    pub wrong_size: &'static str,
    /// The code for a token that no answer gave.
    pub wrong_token: &'static str,
}

impl Pages {
    /// The page that is asked for, and the token of the next one if there is one.
    pub(super) fn cut<T>(&self, input: &Node, all: Vec<T>) -> Result<(Vec<T>, Node), ApiError> {
        let size = self.size(input)?;
        let start = self.start(input, all.len())?;
        let end = start.saturating_add(size).min(all.len());
        let token = if end < all.len() { Node::from(end.to_string()) } else { Node::Null };
        Ok((all.into_iter().skip(start).take(size).collect(), token))
    }

    fn size(&self, input: &Node) -> Result<usize, ApiError> {
        let Some(asked) = input.opt_int(self.size)? else { return Ok(self.usual) };
        usize::try_from(asked).ok().filter(|size| (1..=self.most).contains(size)).ok_or_else(|| {
            let (member, most) = (self.size, self.most);
            ApiError::new(
                self.wrong_size,
                format!("Value '{asked}' at '{member}' failed to satisfy constraint: Member must have value between 1 and {most}"),
            )
        })
    }

    fn start(&self, input: &Node, length: usize) -> Result<usize, ApiError> {
        let Some(token) = input.opt_text(self.token)? else { return Ok(0) };
        token
            .parse()
            .ok()
            .filter(|start| *start <= length)
            .ok_or_else(|| ApiError::new(self.wrong_token, "The specified token isn't valid."))
    }
}
