using Marmot.Hosting.Admin;
using Marmot.Hosting.Settings;
using Marmot.NotifyServer;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.AllInOne;

/// <summary>What the operator sees when the process is up: where to point clients, and where data lives.</summary>
internal static class StartCard
{
    internal static void Print(WebApplication app, Roles roles)
    {
        string listening = app.Urls.FirstOrDefault() ?? "";
        string origin = app.Services.GetRequiredService<IOptions<PublicOptions>>().Value.Origin;
        string http = (origin.Length > 0 ? origin : listening).Replace("wss://", "https://", StringComparison.Ordinal).Replace("ws://", "http://", StringComparison.Ordinal);
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
    }
}
