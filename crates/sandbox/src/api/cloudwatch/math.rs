//! Metric math, as far as releases use it: numbers, ids, `+ - * /`, comparisons, parentheses, `FILL(m, n)` and
//! `IF(condition, then, else)`. Everything else is refused with the position.

use super::Series;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Number(f64),
    Id(String),
    Negated(Box<Expression>),
    Binary(Box<Expression>, Operator, Box<Expression>),
    Fill(Box<Expression>, Box<Expression>),
    If(Box<Expression>, Box<Expression>, Option<Box<Expression>>),
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What an expression is at evaluation: one number, or a series.
#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Series(Series),
}

/// Parses an expression.
pub(crate) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { rest: text };
    let expression = parser.comparison(0)?;
    parser.skip_space();
    if parser.rest.is_empty() {
        Ok(expression)
    } else {
        Err(format!("unexpected text at {}", text.len() - parser.rest.len()))
    }
}

/// Parentheses and calls may nest this deep.
const MAX_DEPTH: usize = 50;

struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.take(symbol) { Ok(()) } else { Err(format!("expected {symbol}")) }
    }

    fn chain(
        &mut self,
        depth: usize,
        operators: &[(&str, Operator)],
        next: fn(&mut Self, usize) -> Result<Expression, String>,
    ) -> Result<Expression, String> {
        let mut left = next(self, depth)?;
        while let Some((_, operator)) = operators.iter().find(|(symbol, _)| self.take(symbol)) {
            let right = next(self, depth)?;
            left = Expression::Binary(Box::new(left), *operator, Box::new(right));
        }
        Ok(left)
    }

    fn comparison(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > MAX_DEPTH {
            return Err("nested too deeply".to_owned());
        }
        let operators = [
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            ("<", Operator::Less),
        ];
        self.chain(depth, &operators, Self::sum)
    }

    fn sum(&mut self, depth: usize) -> Result<Expression, String> {
        self.chain(depth, &[("+", Operator::Add), ("-", Operator::Subtract)], Self::product)
    }

    fn product(&mut self, depth: usize) -> Result<Expression, String> {
        self.chain(depth, &[("*", Operator::Multiply), ("/", Operator::Divide)], Self::factor)
    }

    fn factor(&mut self, depth: usize) -> Result<Expression, String> {
        if self.take("-") {
            return Ok(Expression::Negated(Box::new(self.factor(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.comparison(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.skip_space();
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "" => Err("expected a number, an id or a function".to_owned()),
            "FILL" => self.fill(depth),
            "IF" => self.conditional(depth),
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
                word.parse().map(Expression::Number).map_err(|_| "not a number".to_owned())
            }
            _ if word.starts_with(|c: char| c.is_ascii_lowercase()) => Ok(Expression::Id(word.to_owned())),
            _ => Err(format!("function {word} is not known here")),
        }
    }

    fn fill(&mut self, depth: usize) -> Result<Expression, String> {
        self.expect("(")?;
        let series = self.comparison(depth + 1)?;
        self.expect(",")?;
        let with = self.comparison(depth + 1)?;
        self.expect(")")?;
        Ok(Expression::Fill(Box::new(series), Box::new(with)))
    }

    fn conditional(&mut self, depth: usize) -> Result<Expression, String> {
        self.expect("(")?;
        let condition = self.comparison(depth + 1)?;
        self.expect(",")?;
        let then = self.comparison(depth + 1)?;
        let otherwise = if self.take(",") { Some(Box::new(self.comparison(depth + 1)?)) } else { None };
        self.expect(")")?;
        Ok(Expression::If(Box::new(condition), Box::new(then), otherwise))
    }
}

/// Evaluates over the series known so far; `grid` are the period starts of the window, for FILL.
pub(crate) fn evaluate(
    expression: &Expression,
    known: &[(String, Series)],
    grid: &[i64],
) -> Result<Series, String> {
    match value(expression, known, grid)? {
        Value::Series(series) => Ok(series),
        Value::Number(number) => Ok(grid.iter().map(|at| (*at, number)).collect()),
    }
}

fn value(expression: &Expression, known: &[(String, Series)], grid: &[i64]) -> Result<Value, String> {
    Ok(match expression {
        Expression::Number(number) => Value::Number(*number),
        Expression::Id(id) => Value::Series(
            known
                .iter()
                .find(|(name, _)| name == id)
                .map(|(_, series)| series.clone())
                .ok_or("unknown id")?,
        ),
        Expression::Negated(inner) => zip(Value::Number(0.0), value(inner, known, grid)?, |a, b| a - b),
        Expression::Binary(left, operator, right) => {
            zip(value(left, known, grid)?, value(right, known, grid)?, |a, b| apply(*operator, a, b))
        }
        Expression::Fill(series, with) => {
            let (Value::Series(series), Value::Number(with)) =
                (value(series, known, grid)?, value(with, known, grid)?)
            else {
                return Err("FILL takes a series and a number".to_owned());
            };
            let at = |time: &i64| series.iter().find(|(t, _)| t == time).map_or(with, |(_, v)| *v);
            Value::Series(grid.iter().map(|time| (*time, at(time))).collect())
        }
        Expression::If(condition, then, otherwise) => {
            let condition = evaluate(condition, known, grid)?;
            let then = evaluate(then, known, grid)?;
            let otherwise = match otherwise {
                Some(otherwise) => evaluate(otherwise, known, grid)?,
                None => vec![],
            };
            let pick = |(time, truth): &(i64, f64)| {
                let from = if *truth == 0.0 { &otherwise } else { &then };
                from.iter().find(|(t, _)| t == time).copied()
            };
            Value::Series(condition.iter().filter_map(pick).collect())
        }
    })
}

fn zip(left: Value, right: Value, combine: impl Fn(f64, f64) -> f64) -> Value {
    let mut series: Series = match (left, right) {
        (Value::Number(a), Value::Number(b)) => return Value::Number(combine(a, b)),
        (Value::Series(a), Value::Number(b)) => a.into_iter().map(|(t, v)| (t, combine(v, b))).collect(),
        (Value::Number(a), Value::Series(b)) => b.into_iter().map(|(t, v)| (t, combine(a, v))).collect(),
        (Value::Series(a), Value::Series(b)) => a
            .into_iter()
            .filter_map(|(t, v)| b.iter().find(|(u, _)| *u == t).map(|(_, w)| (t, combine(v, *w))))
            .collect(),
    };
    // A division by zero has no data point.
    series.retain(|(_, value)| value.is_finite());
    Value::Series(series)
}

fn apply(operator: Operator, a: f64, b: f64) -> f64 {
    let truth = |value: bool| if value { 1.0 } else { 0.0 };
    match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Greater => truth(a > b),
        Operator::GreaterOrEqual => truth(a >= b),
        Operator::Less => truth(a < b),
        Operator::LessOrEqual => truth(a <= b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_over_missing_failures_is_zero_where_there_were_requests() {
        let known = vec![
            ("m5xx".to_owned(), vec![(60, 5.0)]),
            ("requests".to_owned(), vec![(0, 100.0), (60, 100.0), (120, 100.0)]),
        ];
        let expression = parse("FILL(m5xx, 0) / requests * 100").unwrap();
        let rate = evaluate(&expression, &known, &[0, 60, 120, 180]).unwrap();
        assert_eq!(rate, [(0, 0.0), (60, 5.0), (120, 0.0)]);
    }

    #[test]
    fn conditions_pick_between_series() {
        let known = vec![("a".to_owned(), vec![(0, 1.0), (60, 9.0)])];
        let expression = parse("IF(a > 5, a, 0 - 1)").unwrap();
        assert_eq!(evaluate(&expression, &known, &[0, 60]).unwrap(), [(0, -1.0), (60, 9.0)]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in ["", "SUM(METRICS())", "a +", "(a", "a b", &"(".repeat(500)] {
            assert!(parse(text).is_err(), "{text} was taken");
        }
    }
}
