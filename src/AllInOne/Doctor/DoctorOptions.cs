using Marmot.Client;
using Marmot.Protocol.Encoding;

namespace Marmot.AllInOne.Doctor;

/// <summary>What <c>doctor</c> is to look at.</summary>
internal sealed record DoctorOptions(Uri Relay, Uri? Blossom, Bytes32? Notify, bool Json)
{
    internal const string Usage = """
        usage: marmot-server doctor [--relay URL] [--blossom URL] [--notify NPUB] [--json]

        With two throw-away identities, from the outside: NIP-11, AUTH, key packages, a group,
        a gift-wrapped Welcome, messages both ways, renewed keys, a removal after which the
        removed one reads nothing; with --blossom an encrypted blob, with --notify a padding-only
        push trigger. Deletes what it left behind. Without arguments: ws://127.0.0.1:8080 and the
        Blossom server on the same port.
        """;

    internal static DoctorOptions? Read(string[] args, out string problem)
    {
        problem = "";
        string? relay = null, blossom = null, notify = null;
        bool json = false;
        for (int i = 0; i < args.Length; i++)
        {
            string name = args[i].Split('=')[0];
            if (name == "--json")
            {
                json = true;
                continue;
            }

            string? value = args[i].Contains('=', StringComparison.Ordinal) ? args[i][(name.Length + 1)..] : i + 1 < args.Length ? args[++i] : null;
            switch (name)
            {
                case "--relay" when value is not null: relay = value; break;
                case "--blossom" when value is not null: blossom = value; break;
                case "--notify" when value is not null: notify = value; break;
                default:
                    problem = $"doctor does not know '{args[i]}', or its value is missing";
                    return null;
            }
        }

        bool isBare = relay is null && blossom is null && notify is null;
        relay ??= "ws://127.0.0.1:8080/";
        blossom ??= isBare ? "http://127.0.0.1:8080/" : null;
        Bytes32? key = null;
        if (notify is not null)
        {
            if (!Nip19.TryDecodePublicKeyOrHex(notify, out var parsed))
            {
                problem = "--notify takes an npub";
                return null;
            }

            key = parsed;
        }

        Uri? server = null;
        if (blossom is not null && (!Uri.TryCreate(blossom, UriKind.Absolute, out server) || server.Scheme is not ("http" or "https")))
        {
            problem = "--blossom takes an http:// or https:// URL";
            return null;
        }

        if (!RelayUrls.IsValid(relay))
        {
            problem = "--relay takes a ws:// or wss:// URL";
            return null;
        }

        return new DoctorOptions(new Uri(relay), server, key, json);
    }
}
