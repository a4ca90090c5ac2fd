using System.Globalization;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Pages;

/// <summary>What the relay says of itself on the public page and in the console.</summary>
internal sealed class RelayFacts(IOptions<RelayOptions> options, Moderation moderation, AllowList allowList) : IPublicFacts
{
    public int Order => 1;

    public PublicProfile Profile => new(
        moderation.State.Name ?? options.Value.Name, moderation.State.Description ?? options.Value.Description, options.Value.Contact,
        Bytes32.TryParseHex(options.Value.PublicKey.AsSpan(), out var key) ? Nip19.EncodePublicKey(key) : "");

    public IEnumerable<PublicAddress> Addresses(string origin)
    {
        var url = origin.Replace("https://", "wss://", StringComparison.Ordinal).Replace("http://", "ws://", StringComparison.Ordinal);
        yield return new PublicAddress("relay", url, "This is a Nostr relay: add the address to the relays of your client.");
    }

    public IEnumerable<(string Name, string Value)> Facts()
    {
        var relay = options.Value;
        var nips = string.Join(", ", RelayPages.Supported(relay));
        yield return ("Relay", string.Create(
            CultureInfo.InvariantCulture,
            $"NIPs {nips}; messages up to {relay.MaxMessageBytes / 1024} KiB, {relay.MaxSubscriptions} subscriptions a connection"));
        yield return ("Who may publish", relay.WriteAllowList.Length > 0 || allowList.IsSet ? "keys of the operator's list, authenticated (NIP-42)"
            : "everybody");
        yield return ("Gift wraps", relay.GiftWraps == GiftWrapAccessMode.RecipientOnly ? "served to their recipient only (NIP-42)" : "served to everybody");
        yield return ("Kept events", relay.RetentionDays.Count == 0
            ? "until they end or are deleted; what is deleted is overwritten on disk"
            : string.Join(", ", relay.RetentionDays.Select(rule => $"kind {rule.Key} for {rule.Value} days")));
    }
}
