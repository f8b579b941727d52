//! HTML that cannot be injected into: markup is literals of this crate, everything else is escaped.

use std::fmt::Write as _;

use jiff::Timestamp;
use tidegate_model::duration::human;

/// A page in the making.
pub(super) struct Html {
    text: String,
    now: Timestamp,
}

impl Html {
    /// An empty page; ages are told as of `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { text: String::with_capacity(16 * 1_024), now }
    }

    /// Markup, written in this crate: a value from elsewhere does not live long enough.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.text.push_str(markup);
        self
    }

    /// Text, escaped for content and for quoted attributes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&#39;"),
                // Direction overrides could show a name as another one.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.text.push('\u{fffd}'),
                control if control.is_control() && control != '\n' => self.text.push('\u{fffd}'),
                plain => self.text.push(plain),
            }
        }
        self
    }

    /// Text between two pieces of markup.
    pub(super) fn wrap(&mut self, open: &'static str, text: &str, close: &'static str) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// A number.
    pub(super) fn number(&mut self, number: impl Into<f64>) -> &mut Self {
        let number: f64 = number.into();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{}", (number * 10.0).round() / 10.0);
        self
    }

    /// A time: the clock's, and how long ago or how far ahead.
    pub(super) fn time(&mut self, at: Timestamp) -> &mut Self {
        self.raw("<time datetime=\"").text(&at.to_string()).raw("\">");
        let format = if at.duration_since(self.now).abs().as_hours() < 20 { "%H:%M:%S" } else { "%F %H:%M" };
        self.text(&at.strftime(format).to_string()).raw("</time> <span class=age>");
        self.age(at).raw("</span>")
    }

    /// How long ago or how far ahead a time is.
    pub(super) fn age(&mut self, at: Timestamp) -> &mut Self {
        let away = at.duration_since(self.now);
        match away.as_secs() {
            0 => self.raw("now"),
            1.. => {
                let text = format!("in {}", human(away));
                self.text(&text)
            }
            _ => {
                let text = format!("{} ago", human(-away));
                self.text(&text)
            }
        }
    }

    /// The finished page.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn written(write: impl Fn(&mut Html)) -> String {
        let mut html = Html::new(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1));
        write(&mut html);
        html.finish()
    }

    #[test]
    fn text_cannot_become_markup() {
        let text = written(|html| _ = html.text("<b a=\"'&\u{202e}\u{1b}[0m"));
        assert_eq!(text, "&lt;b a=&quot;&#39;&amp;\u{fffd}\u{fffd}[0m");
    }

    #[test]
    fn ages_are_told_both_ways() {
        let at = |seconds: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(3_600 + seconds);
        assert_eq!(written(|html| _ = html.age(at(-61))), "1m 1s ago");
        assert_eq!(written(|html| _ = html.age(at(7_200))), "in 2h");
        assert_eq!(written(|html| _ = html.age(at(0))), "now");
    }

    #[test]
    fn numbers_have_one_digit_at_most() {
        assert_eq!(written(|html| _ = html.number(33.333).raw(" ").number(10)), "33.3 10");
    }
}
