using Marmot.Client.Accounts;
using Marmot.Client.Adopted;
using Marmot.Client.Profiles;
using Marmot.Client.Relays;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client.KeyPackages;

/// <summary>Finds the key packages of other accounts: on the relays of kind 10051, else on the write relays of kind 10002, else on ours (MIP-00).</summary>
internal sealed class KeyPackageFinder
{
    private readonly Account _account;
    private readonly RelayRequests _relays;

    public KeyPackageFinder(Account account, RelayRequests relays)
        => (_account, _relays) = (account, relays);

    /// <summary>Finds the best usable key package of an account: on the relays of its kind 10051, else on its kind 10002 write relays, else on ours.</summary>
    public async Task<KeyPackageEvent?> FetchAsync(Bytes32 owner, int[]? kinds = null, IReadOnlyList<string>? extraRelays = null,
        CancellationToken cancellationToken = default) =>
        KeyPackageEvent.Select(await FetchEventsAsync(owner, kinds, extraRelays ?? [], cancellationToken), _account.Time.GetUtcNow());

    /// <summary>The same for an invitation, or the reason why there is none.</summary>
    public async Task<KeyPackageEvent> RequireAsync(Bytes32 owner, IReadOnlyList<string>? extraRelays = null, CancellationToken cancellationToken = default)
    {
        var now = _account.Time.GetUtcNow();
        var events = await FetchEventsAsync(owner, null, extraRelays ?? [], cancellationToken);
        if (KeyPackageEvent.Select(events, now) is { } found)
        {
            return found;
        }

        string npub = Nip19.EncodePublicKey(owner);
        string reason = string.Empty;
        throw new ClientException(
            events.Count == 0 ? $"{npub} has published no key package where this client looks; its owner must publish one first"
            : events.Any(evt => KeyPackageEvent.TryRead(evt, now, out _, out reason))
            ? $"{npub} has key packages of the first generation only, which are read and not invited"
            : $"{npub} has no usable key package: {reason}");
    }

    /// <summary>The newest valid key package of the adopted profile, for an invitation; it lies on the write relays of kind 10002.</summary>
    /// <exception cref="ClientException">There is none; the message says why.</exception>
    public async Task<(NostrEvent Event, KeyPackage Package)> RequireAdoptedAsync(Bytes32 owner, IReadOnlyList<string> extraRelays,
        CancellationToken cancellationToken)
    {
        var now = _account.Time.GetUtcNow();
        var lookup = RelayUrls.Distinct([.. _account.Settings.Relays, .. extraRelays]);
        var lists = await _relays.FetchAsync(lookup,
            new Filter { Authors = [owner], Kinds = [MarmotNumbers.KeyPackageRelaysKind, MarmotNumbers.RelayListKind] }, asAccount: false, cancellationToken);
        var places = RelayUrls.Distinct([.. RelayRequests.NewestList(lists, MarmotNumbers.RelayListKind, "r"),
            .. RelayRequests.NewestList(lists, MarmotNumbers.KeyPackageRelaysKind, "relay"), .. lookup]);
        var events = await _relays.FetchAsync(places, new Filter { Authors = [owner], Kinds = [ProfileDetector.KeyPackageKind] }, asAccount: false,
            cancellationToken);
        if (AdoptedKeyPackages.Select(events, now) is { } found)
        {
            return found;
        }

        string npub = Nip19.EncodePublicKey(owner);
        string fault = string.Empty;
        throw new ClientException(
            events.Count == 0 ? $"{npub} has published no key package where this client looks; its owner must publish one first"
            : events.All(evt => ProfileDetector.OfKeyPackage(evt) == MarmotProfile.Mip)
                ? $"{npub} speaks the MIP profile and cannot be invited into a group of the adopted one"
            : events.All(evt => !AdoptedKeyPackages.TryRead(evt, now, out _, out fault)) ? $"{npub} has no usable key package: {fault}"
            : $"{npub} has no usable key package");
    }

    private async Task<IReadOnlyList<NostrEvent>> FetchEventsAsync(Bytes32 owner, int[]? kinds, IReadOnlyList<string> extraRelays,
        CancellationToken cancellationToken)
    {
        var lookup = RelayUrls.Distinct([.. _account.Settings.Relays, .. extraRelays]);
        var lists = await _relays.FetchAsync(lookup,
            new Filter { Authors = [owner], Kinds = [MarmotNumbers.KeyPackageRelaysKind, MarmotNumbers.RelayListKind] }, asAccount: false, cancellationToken);
        var relays = RelayRequests.NewestList(lists, MarmotNumbers.KeyPackageRelaysKind, "relay");
        relays = relays.Count > 0 ? relays : RelayRequests.NewestList(lists, MarmotNumbers.RelayListKind, "r");
        return await _relays.FetchAsync(
            relays.Count > 0 ? relays : lookup,
            new Filter { Authors = [owner], Kinds = kinds ?? [ProfileDetector.KeyPackageKind, ProfileDetector.LegacyKeyPackageKind] },
            asAccount: false,
            cancellationToken);
    }
}
