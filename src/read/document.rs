//! A JSON document that borrows from the body.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'d> {
    Null,
    Bool(bool),
    Number(Number),
    Text(std::borrow::Cow<'d, str>),
    Array(Vec<Node<'d>>),
    Object(Vec<(std::borrow::Cow<'d, str>, Node<'d>)>),
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}
