//! What the application of the comparison runs, as the model is told it and as the server gets it.

use tidegate_simulation::database::{Does, Names, Statement, Write, story};

/// What the application does, by name; the first parameters of each statement are what it writes, the last one the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    ReadOld,
    ReadName,
    ReadAll,
    Update(Write),
    Insert(Write),
}

/// The application's statements.
pub(crate) fn statement(app: App) -> Statement {
    let columns = |write: Write| -> &'static [&'static str] {
        match write {
            Write::Old | Write::OldOdd => &["address"],
            Write::New | Write::NewOdd => &["street_address", "city", "state", "zip_code"],
            Write::Both | Write::BothApart => &["address", "street_address", "city", "state", "zip_code"],
            Write::Neither => &["email"],
        }
    };
    let (text, names, does) = match app {
        App::ReadOld => {
            ("SELECT id, address FROM customers WHERE id = $1".into(), vec!["id", "address"], Does::Read)
        }
        App::ReadName => ("SELECT name FROM customers WHERE id = $1".into(), vec!["id", "name"], Does::Read),
        App::ReadAll => ("SELECT * FROM customers WHERE id = $1".into(), vec![], Does::Read),
        App::Update(write) => {
            let set: Vec<String> =
                columns(write).iter().zip(1..).map(|(c, n)| format!("{c} = ${n}")).collect();
            let text = format!("UPDATE customers SET {} WHERE id = ${}", set.join(", "), set.len() + 1);
            (text, [&["id"], columns(write)].concat(), Does::Update(write))
        }
        App::Insert(write) => {
            let all = [columns(write), &["name"]].concat();
            let values: Vec<String> = (1..=all.len()).map(|n| format!("${n}")).collect();
            let text = format!("INSERT INTO customers ({}) VALUES ({})", all.join(", "), values.join(", "));
            (text, all, Does::Insert(write))
        }
    };
    let names = match app {
        App::ReadAll => Names::Everything,
        App::ReadOld | App::ReadName | App::Update(_) | App::Insert(_) => {
            Names::Columns(names.into_iter().map(str::to_owned).collect())
        }
    };
    Statement { text, table: story::customers(), names, does }
}

/// What a statement writes: never twice the same.
pub(crate) fn values(app: App, n: u32) -> Vec<Option<String>> {
    let (write, more) = match app {
        App::ReadOld | App::ReadName | App::ReadAll => return Vec::new(),
        App::Update(write) => (write, None),
        App::Insert(write) => (write, Some(Some("x".to_owned()))),
    };
    let parts = |n: u32| [format!("{n} Elm St"), "Salem".into(), "OR".into(), "97301".into()].map(Some);
    let old = |n: u32| Some(format!("{n} Elm St, Salem, OR, 97301"));
    let values = match write {
        Write::Old => vec![old(n)],
        Write::OldOdd => vec![Some(format!("c/o Miller {n}"))],
        Write::New => parts(n).to_vec(),
        Write::NewOdd => vec![Some(format!("{n} Elm St")), None, None, None],
        Write::Both => [vec![old(n)], parts(n).to_vec()].concat(),
        Write::BothApart => [vec![old(n)], parts(n + 1_000_000).to_vec()].concat(),
        Write::Neither => vec![Some(format!("{n}@example.com"))],
    };
    values.into_iter().chain(more).collect()
}
