function(ctx) {
  type: 'password_changed',
  identity_id: ctx.identity.id,
}
