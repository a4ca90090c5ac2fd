using Marmot.Hosting.Admin;
using Marmot.Hosting.Health;
using Marmot.Hosting.Settings;
using Marmot.NotifyServer;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.AllInOne;

/// <summary>What the operator sees when the process is up: where to point clients, where data lives, what to do next. The last thing on the screen.</summary>
internal static class StartCard
{
    /// <summary>How long the parts of a fresh process may take to be ready before the card is printed all the same.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(25);

    internal static async Task PrintAsync(WebApplication app, Roles roles)
    {
        // What the parts log while they get ready comes before the card.
        var parts = app.Services.GetServices<IHealthPart>().ToList();
        long start = TimeProvider.System.GetTimestamp();
        while (parts.Any(part => !part.Check().Ready) && TimeProvider.System.GetElapsedTime(start) < Patience
            && !app.Lifetime.ApplicationStopping.IsCancellationRequested)
        {
            await Task.Delay(Pause);
        }

        string listening = app.Urls.FirstOrDefault() ?? "";
        string origin = app.Services.GetRequiredService<IOptions<PublicOptions>>().Value.Origin;
        string http = (origin.Length > 0 ? origin : listening).Replace("wss://", "https://", StringComparison.Ordinal)
            .Replace("ws://", "http://", StringComparison.Ordinal);
        string webSocket = http.Replace("https://", "wss://", StringComparison.Ordinal).Replace("http://", "ws://", StringComparison.Ordinal);
        var card = new List<(string Name, string Value)>();
        if (roles.HasFlag(Roles.Relay))
        {
            card.Add(("relay", webSocket));
        }

        if (roles.HasFlag(Roles.Blossom))
        {
            card.Add(("blossom", http));
        }

        if (roles.HasFlag(Roles.Notify))
        {
            card.AddRange(app.NotifyKeys().Select(key => ("push server", Nip19.EncodePublicKey(Bytes32.ParseHex(key.PublicKeyHex)))));
        }

        string? admin = app.Services.GetRequiredService<AdminServer>().Addresses.FirstOrDefault();
        card.Add(("admin", admin ?? "off"));
        card.Add(("data", Path.GetFullPath(app.Services.GetRequiredService<IOptions<StorageOptions>>().Value.DataDirectory)));
        Console.WriteLine();
        Console.WriteLine("  marmot-server is up");
        foreach (var (name, value) in card)
        {
            Console.WriteLine($"  {name,-12} {value}");
        }

        Console.WriteLine();
        foreach (string line in NextSteps(app, roles, origin, webSocket, http))
        {
            Console.WriteLine("  " + line);
        }

        Console.WriteLine();
    }

    private static IEnumerable<string> NextSteps(WebApplication app, Roles roles, string origin, string webSocket, string http)
    {
        bool isServing = (roles & (Roles.Relay | Roles.Blossom)) != 0;
        if (isServing && origin.Length == 0)
        {
            yield return "Public:Origin is not set: logins (NIP-42, Blossom) are taken for loopback names only.";
            yield return "  Reachable under a name? Start with --Public:Origin=wss://relay.example.org";
        }

        if (roles.HasFlag(Roles.Relay))
        {
            string blossom = roles.HasFlag(Roles.Blossom) ? $" --blossom {http}" : "";
            string push = roles.HasFlag(Roles.Notify) && app.NotifyKeys() is [var key, ..]
                ? $" --notify {Nip19.EncodePublicKey(Bytes32.ParseHex(key.PublicKeyHex))}"
                : "";
            yield return $"does it work?   marmot-server doctor --relay {webSocket}{blossom}{push}";
        }

        yield return isServing
            ? "clients:        enter the addresses above as relay, media server and push server"
            : "clients:        enter the key above as push server";
        yield return "stop:           Ctrl-C";
    }
}
