//! JSON as values of CEL, and back.
//!
//! Invariants: nothing is copied but keys; an object's keys are iterated in their order; what was
//! measured is an upper bound of what one loop goes over and one text holds.

use cel::ExecutionError;
use cel::common::traits::{self, Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, Type,
};
use cel::common::value::{Builtin, BuiltinRef, CowVal, Val};
use serde_json::{Map, Number, Value};

/// Size of variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Elements of all arrays and objects.
    pub(super) elements: u64,
    /// Bytes of all texts.
    pub(super) bytes: u64,
}

/// A value that borrows its texts.
pub(super) fn borrowed<'v>(value: &'v Value, measure: &mut Measure) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Box::new(CelInt::from(whole)),
            (None, float) => Box::new(CelDouble::from(float.unwrap_or(f64::NAN))),
        },
        Value::String(text) => {
            measure.bytes += text.len() as u64;
            Box::new(CelString::from(text.as_str()))
        }
        Value::Array(items) => {
            measure.elements += items.len() as u64;
            let items = items.iter().map(|item| borrowed(item, measure));
            Box::new(CelList::from(items.collect::<Vec<_>>()))
        }
        Value::Object(object) => Box::new(Object::new(object, measure)),
    }
}

/// A map whose keys are iterated in their order. Everything else is CEL's own map.
#[derive(Debug, Clone)]
struct Object<'v> {
    map: CelMap<'v>,
    keys: Vec<CelString<'v>>,
}

impl<'v> Object<'v> {
    fn new(object: &'v Map<String, Value>, measure: &mut Measure) -> Self {
        measure.elements += object.len() as u64;
        let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        let entries = object.iter().map(|(key, value)| {
            let key = CelMapKey::from(key.as_str());
            (key, borrowed(value, measure))
        });
        let mut map = CelMap::default().into_inner();
        map.extend(entries);
        Self {
            map: CelMap::from(map),
            keys: keys.into_iter().map(CelString::from).collect(),
        }
    }
}

impl<'v> Val for Object<'v> {
    fn get_type(&self) -> &Type {
        self.map.get_type()
    }

    fn cel_type() -> &'static Type {
        <CelMap<'static> as Val>::cel_type()
    }

    fn as_container(&self) -> Option<&dyn Container> {
        self.map.as_container()
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn into_indexer<'w>(self: Box<Self>) -> Option<Box<dyn Indexer + 'w>>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.map.as_sizer()
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        self.map.as_zeroer()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        self.map.equals(other)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }

    fn as_builtin<'b, 'w>(&'b self) -> BuiltinRef<'b, 'w>
    where
        Self: 'w,
    {
        BuiltinRef::Map(&self.map)
    }

    fn into_builtin<'w>(self: Box<Self>) -> Option<Builtin<'w>>
    where
        Self: 'w,
    {
        // A map of CEL's own would be iterated in no order.
        None
    }
}

impl<'v> Indexer for Object<'v> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.map.get(key)
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.map.get(key).map(CowVal::into_owned)
    }
}

impl<'v> Iterable for Object<'v> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn traits::Iterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Keys(self.keys.iter()))
    }
}

struct Keys<'b, 'v>(std::slice::Iter<'b, CelString<'v>>);

impl<'b, 'v: 'w, 'w> traits::Iterator<'b, 'w> for Keys<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|key| key as &(dyn Val + 'w))
    }
}

/// A value as JSON.
pub(super) fn to_json(val: &dyn Val) -> Result<Value, String> {
    if let Some(value) = scalar(val) {
        return value;
    }
    let (Some(iterable), Some(indexer)) = (val.as_iterable(), val.as_indexer()) else {
        let kind = val.get_type().name();
        return Err(format!("its value is of the type {kind}, which is no JSON"));
    };
    let is_map = matches!(val.as_builtin(), BuiltinRef::Map(_));
    let (mut items, mut object) = (Vec::new(), Map::new());
    let mut each = iterable.iter();
    while let Some(item) = each.next() {
        if !is_map {
            items.push(to_json(item)?);
            continue;
        }
        let value = indexer.get(item);
        let value = value.map_err(|error| super::error::words(&error))?;
        let key = match to_json(item)? {
            Value::String(key) => key,
            other => other.to_string(),
        };
        object.insert(key, to_json(value.as_ref())?);
    }
    Ok(match is_map {
        true => Value::Object(object),
        false => Value::Array(items),
    })
}

fn scalar(val: &dyn Val) -> Option<Result<Value, String>> {
    let value = if let Some(value) = val.downcast_ref::<CelBool>() {
        Value::Bool(*value.inner())
    } else if let Some(value) = val.downcast_ref::<CelInt>() {
        Value::from(*value.inner())
    } else if let Some(value) = val.downcast_ref::<CelUInt>() {
        Value::from(*value.inner())
    } else if let Some(value) = val.downcast_ref::<CelDouble>() {
        match Number::from_f64(*value.inner()) {
            Some(number) => Value::Number(number),
            None => return Some(Err("its value is no finite number".to_owned())),
        }
    } else if let Some(value) = val.downcast_ref::<CelString>() {
        Value::String(value.inner().to_owned())
    } else if val.downcast_ref::<CelNull>().is_some() {
        Value::Null
    } else {
        return None;
    };
    Some(Ok(value))
}

/// What a value is, for a message.
pub(super) fn noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
