// A real OpenID provider: `node --input-type=module - PORT <provider.mjs`, in a folder that has its packages.
// Whoever types a name is that person.
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const GROUPS = { root: ["staff", "precis-admins"] };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "precis",
      client_secret: "a secret of the tests",
      redirect_uris: ["http", "https"].map((scheme) => `${scheme}://localhost/session/callback`),
    },
  ],
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["preferred_username", "name", "groups"] },
  cookies: { keys: ["of the tests"] },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({
      sub,
      preferred_username: sub.split("@")[0],
      name: `${sub.split("@")[0]} Example`,
      groups: GROUPS[sub] ?? [],
    }),
  }),
  // Nobody is asked whether Precis may know these: all that is asked for is granted.
  async loadExistingGrant(ctx) {
    const { client, params, session } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope);
    await grant.save();
    return grant;
  },
});
provider.listen(port, "127.0.0.1", () => console.log("listening"));
