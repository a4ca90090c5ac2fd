using Marmot.Blossom.Refusals;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Microsoft.AspNetCore.Http;

namespace Marmot.Blossom.Auth;

/// <summary>The Authorization header of a request against BUD-11; every fault is a 401 with its own reason.</summary>
internal sealed class TokenGate(ServerNames names, TimeProvider time)
{
    /// <summary>Null and a token, or the refusal.</summary>
    public Refusal? Check(HttpContext context, BlossomVerb verb, Bytes32? hash, out BlossomAuth? token)
    {
        var header = context.Request.Headers.Authorization;
        if (header.Count > 1)
        {
            token = null;
            return Refusal.BadToken("send one Authorization header");
        }

        var verdict = BlossomAuth.Check(header.ToString(), verb, hash, names.DomainFor(context), time.GetUtcNow(), out token);
        return verdict switch
        {
            BlossomAuthVerdict.Accepted => null,
            BlossomAuthVerdict.HeaderMissing => Refusal.NoToken,
            BlossomAuthVerdict.WrongServer
                when !names.IsConfigured =>
                    Refusal.BadToken("the token is for one server, and this one does not know its own name: its operator must set Public:Origin"),
            _ => Refusal.BadToken(BlossomAuth.Describe(verdict)),
        };
    }
}
