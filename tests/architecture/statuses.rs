//! Finds places where something called a status is compared with 4xx or 5xx. Other numbers of that size are let be.

use syn::Macro;
use syn::visit::{self, Visit};

use super::source::Module;

/// Places where something called a status is compared with 4xx or 5xx.
pub(super) fn readers_of_statuses(module: &Module) -> Vec<String> {
    let mut found = Statuses(Vec::new());
    module.items.iter().for_each(|item| found.visit_item(item));
    found
        .0
        .iter()
        .map(|what| format!("a status is read outside of velma/classify: {what} (src/{})", module.file))
        .collect()
}

struct Statuses(Vec<String>);

impl<'ast> Visit<'ast> for Statuses {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        // A test may well say which status it expects.
        if !module.attrs.iter().any(|a| a.path().is_ident("cfg")) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        let compares = matches!(
            expr.op,
            syn::BinOp::Eq(_)
                | syn::BinOp::Ne(_)
                | syn::BinOp::Lt(_)
                | syn::BinOp::Le(_)
                | syn::BinOp::Gt(_)
                | syn::BinOp::Ge(_)
        );
        if compares
            && [(&expr.left, &expr.right), (&expr.right, &expr.left)]
                .iter()
                .any(|(a, b)| Numbers::of(|n| n.visit_expr(a)) && Names::of(|n| n.visit_expr(b)))
        {
            self.0.push("a comparison".to_owned());
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast syn::ExprMatch) {
        let by_number = expr.arms.iter().any(|arm| Numbers::of(|n| n.visit_pat(&arm.pat)));
        if by_number && Names::of(|n| n.visit_expr(&expr.expr)) {
            self.0.push("a match".to_owned());
        }
        visit::visit_expr_match(self, expr);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let in_range = call.method == "contains" && Numbers::of(|n| n.visit_expr(&call.receiver));
        if in_range && call.args.iter().any(|arg| Names::of(|n| n.visit_expr(arg))) {
            self.0.push("a range".to_owned());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, mac: &'ast Macro) {
        let text = mac.tokens.to_string();
        let number = |word: &str| word.parse().is_ok_and(|n: u64| (400..600).contains(&n));
        if mac.path.is_ident("matches") && text.contains("status") && text.split([' ', '.', ',']).any(number)
        {
            self.0.push("matches!".to_owned());
        }
    }
}

/// Whether a 4xx or 5xx stands somewhere.
struct Numbers(bool);

impl Numbers {
    fn of(look: impl FnOnce(&mut Numbers)) -> bool {
        let mut numbers = Numbers(false);
        look(&mut numbers);
        numbers.0
    }
}

impl<'ast> Visit<'ast> for Numbers {
    fn visit_lit_int(&mut self, number: &'ast syn::LitInt) {
        self.0 |= number.base10_parse::<u64>().is_ok_and(|n| (400..600).contains(&n));
    }
}

/// Whether something called a status stands somewhere.
struct Names(bool);

impl Names {
    fn of(look: impl FnOnce(&mut Names)) -> bool {
        let mut names = Names(false);
        look(&mut names);
        names.0
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_ident(&mut self, name: &'ast syn::Ident) {
        self.0 |= name == "status" || name == "http_status";
    }
}
