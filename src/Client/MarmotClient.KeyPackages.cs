using System.Globalization;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.KeyPackages;
using Marmot.Client.Profiles;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client;

/// <summary>An own key package, for showing.</summary>
/// <param name="Reference">KeyPackageRef.</param>
/// <param name="Slot">The <c>d</c> tag.</param>
/// <param name="EventId">The event that carries it.</param>
/// <param name="CreatedAt">Unix seconds.</param>
/// <param name="IsLastResort">May be used more than once.</param>
/// <param name="Uses">Welcomes it has opened.</param>
/// <param name="IsRetired">Another has taken its place; it opens Welcomes under way for another day.</param>
public sealed record OwnKeyPackage(Bytes32 Reference, string Slot, Bytes32 EventId, long CreatedAt, bool IsLastResort, int Uses, bool IsRetired);

/// <summary>A key package that was published.</summary>
/// <param name="Reference">KeyPackageRef.</param>
/// <param name="Event">The kind 30443 event.</param>
/// <param name="Published">What the relays said, to it and to the kind 443 copy when there is one.</param>
public sealed record PublishedKeyPackage(Bytes32 Reference, NostrEvent Event, IReadOnlyList<PublishedEvent> Published);

public sealed partial class MarmotClient
{
    /// <summary>Welcomes under way to a replaced key package are still opened for this long (MIP-00).</summary>
    private static readonly TimeSpan RetirePause = TimeSpan.FromHours(24);

    /// <summary>Makes a key package, stores its private keys, then publishes it; in a slot that is taken it replaces the one there.</summary>
    /// <param name="slot">The <c>d</c> tag; null for the device's own.</param>
    /// <param name="lastResort">May be used more than once, so that nobody can use it up.</param>
    /// <param name="legacyCopy">Publishes the same key package as kind 443 too, for clients of early 2026.</param>
    /// <param name="cancellationToken">Ends the wait for relays.</param>
    /// <exception cref="ClientException">No relay took it.</exception>
    public async Task<PublishedKeyPackage> PublishKeyPackageAsync(string? slot = null, bool lastResort = true, bool legacyCopy = false, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        slot ??= Settings.Slot;
        var old = StoredKeyPackages().Where(one => one.Record.Slot == slot && one.Record.RetireAt == 0).ToList();
        long createdAt = TakeCreatedAt(ProfileDetector.KeyPackageKind, slot);
        using var secrets = MipGroup.CreateKeyPackage(PublicKey, lastResort, _time.GetUtcNow());
        var relays = Settings.KeyPackageRelays;
        var evt = KeyPackageEvent.Create(_key, secrets.KeyPackage, slot, relays, createdAt);
        var copy = legacyCopy ? KeyPackageEvent.Create(_key, secrets.KeyPackage, null, relays, createdAt) : null;
        var reference = new Bytes32(secrets.KeyPackage.Reference());
        var record = new KeyPackageRecord(secrets.ToBytes(), slot, lastResort, evt.Id, copy?.Id, createdAt, [.. relays]);

        // 1. Private keys first: a Welcome may come before the relay's OK does.
        var batch = new StoreBatch();
        batch.PutJson(KeyPackageRecord.Key(reference), record);
        _store.Commit(batch);

        // 2. Publish.
        var published = new List<PublishedEvent> { await PublishAsync(evt, relays, cancellationToken) };
        if (!published[0].Acked)
        {
            if (published[0].IsRefused)
            {
                batch = new StoreBatch();
                batch.Delete(KeyPackageRecord.Key(reference));
                _store.Commit(batch);
            }

            throw new ClientException($"no relay took the key package: {published[0].Reasons}");
        }

        if (copy is not null)
        {
            published.Add(await PublishAsync(copy, relays, cancellationToken));
        }

        // 3. The one it replaces: its 443 copy is not replaced by itself.
        batch = new StoreBatch();
        batch.PutJson(KeyPackageRecord.Key(reference), record with { IsPublished = true });
        foreach (var (oldReference, oldRecord) in old)
        {
            if (oldRecord.IsUsedUp)
            {
                batch.Delete(KeyPackageRecord.Key(oldReference));
            }
            else
            {
                batch.PutJson(KeyPackageRecord.Key(oldReference), oldRecord with { RetireAt = Now + (long)RetirePause.TotalSeconds });
            }
        }

        _store.Commit(batch);
        foreach (var (_, oldRecord) in old.Where(one => one.Record.LegacyEventId is not null))
        {
            await PublishAsync(Deletion([oldRecord.LegacyEventId!.Value], null, ProfileDetector.LegacyKeyPackageKind), relays, cancellationToken);
        }

        return new PublishedKeyPackage(reference, evt, published);
    }

    /// <summary>The own key packages whose private keys are still here.</summary>
    public IReadOnlyList<OwnKeyPackage> ListKeyPackages() =>
        [.. StoredKeyPackages().Where(one => !one.Record.IsUsedUp).Select(one => new OwnKeyPackage(one.Reference, one.Record.Slot, one.Record.EventId, one.Record.CreatedAt, one.Record.IsLastResort, one.Record.Uses, one.Record.RetireAt > 0))];

    /// <summary>Publishes another key package in the same slot (MIP-00: after use, and from time to time).</summary>
    public async Task<PublishedKeyPackage> RotateKeyPackageAsync(Bytes32 reference, CancellationToken cancellationToken = default)
    {
        var record = _store.GetJson<KeyPackageRecord>(KeyPackageRecord.Key(reference)) ?? throw new ClientException("no such key package");
        return await PublishKeyPackageAsync(record.Slot, record.IsLastResort, record.LegacyEventId is not null, cancellationToken);
    }

    /// <summary>Another key package for every slot whose own was used, or of which no relay has said that it took it.</summary>
    private async Task<IReadOnlyList<PublishedEvent>> RenewKeyPackagesAsync(CancellationToken cancellationToken)
    {
        var published = new List<PublishedEvent>();
        foreach (var (reference, _) in StoredKeyPackages().Where(one => one.Record.RetireAt == 0 && (one.Record.Uses > 0 || !one.Record.IsPublished)).DistinctBy(one => one.Record.Slot).ToList())
        {
            published.AddRange((await RotateKeyPackageAsync(reference, cancellationToken)).Published);
        }

        return published;
    }

    /// <summary>Asks the relays to delete a key package and wipes its private keys.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> DeleteKeyPackageAsync(Bytes32 reference, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        var record = _store.GetJson<KeyPackageRecord>(KeyPackageRecord.Key(reference)) ?? throw new ClientException("no such key package");
        var batch = new StoreBatch();
        batch.Delete(KeyPackageRecord.Key(reference));
        _store.Commit(batch);
        var published = new List<PublishedEvent> { await PublishAsync(Deletion([record.EventId], record.RetireAt == 0 ? record.Slot : null, ProfileDetector.KeyPackageKind), record.Relays, cancellationToken) };
        if (record.LegacyEventId is { } copy)
        {
            published.Add(await PublishAsync(Deletion([copy], null, ProfileDetector.LegacyKeyPackageKind), record.Relays, cancellationToken));
        }

        return published;
    }

    /// <summary>Finds the best usable key package of an account: on the relays of its kind 10051, else on its kind 10002 write relays, else on ours.</summary>
    /// <param name="owner">The account.</param>
    /// <param name="kinds">Kinds wanted; null for 30443 and 443.</param>
    /// <param name="extraRelays">Relays to ask besides, for instance a group's.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task<KeyPackageEvent?> FetchKeyPackageAsync(Bytes32 owner, int[]? kinds = null, IReadOnlyList<string>? extraRelays = null, CancellationToken cancellationToken = default) =>
        KeyPackageEvent.Select(await FetchKeyPackageEventsAsync(owner, kinds, extraRelays ?? [], cancellationToken), _time.GetUtcNow());

    private async Task<IReadOnlyList<NostrEvent>> FetchKeyPackageEventsAsync(Bytes32 owner, int[]? kinds, IReadOnlyList<string> extraRelays, CancellationToken cancellationToken)
    {
        var lookup = RelayUrls.Distinct([.. Settings.Relays, .. extraRelays]);
        var lists = await FetchAsync(lookup, new Filter { Authors = [owner], Kinds = [MarmotNumbers.KeyPackageRelaysKind, MarmotNumbers.RelayListKind] }, asAccount: false, cancellationToken);
        var relays = RelaysOf(lists, MarmotNumbers.KeyPackageRelaysKind, "relay");
        relays = relays.Count > 0 ? relays : RelaysOf(lists, MarmotNumbers.RelayListKind, "r");
        return await FetchAsync(
            relays.Count > 0 ? relays : lookup,
            new Filter { Authors = [owner], Kinds = kinds ?? [ProfileDetector.KeyPackageKind, ProfileDetector.LegacyKeyPackageKind] },
            asAccount: false,
            cancellationToken);
    }

    /// <summary>The same for an invitation, or the reason why there is none.</summary>
    /// <exception cref="ClientException">There is none, all are refused, or they are of a generation this client does not speak; the message says which.</exception>
    public async Task<KeyPackageEvent> RequireKeyPackageAsync(Bytes32 owner, IReadOnlyList<string>? extraRelays = null, CancellationToken cancellationToken = default)
    {
        var now = _time.GetUtcNow();
        var events = await FetchKeyPackageEventsAsync(owner, null, extraRelays ?? [], cancellationToken);
        if (KeyPackageEvent.Select(events, now) is { } found)
        {
            return found;
        }

        string npub = Nip19.EncodePublicKey(owner);
        string reason = string.Empty;
        throw new ClientException(
            events.Count == 0 ? $"{npub} has published no key package where this client looks; its owner must publish one first"
            : events.Any(evt => KeyPackageEvent.TryRead(evt, now, out _, out reason)) ? $"{npub} has key packages of the first generation only, which are read and not invited"
            : $"{npub} has no usable key package: {reason}");
    }

    private IEnumerable<(Bytes32 Reference, KeyPackageRecord Record)> StoredKeyPackages() =>
        _store.Scan("k/").Select(pair => (Bytes32.ParseHex(pair.Key[2..]), StoreJson.Read<KeyPackageRecord>(pair.Value)));

    private NostrEvent Deletion(IReadOnlyList<Bytes32> events, string? slot, int kind)
    {
        List<string[]> tags = [.. events.Select(id => new[] { "e", id.ToString() })];
        if (slot is not null)
        {
            tags.Add(["a", $"{kind}:{PublicKey}:{slot}"]);
        }

        tags.Add(["k", kind.ToString(CultureInfo.InvariantCulture)]);
        return NostrEvent.Create(_key, MarmotNumbers.DeletionKind, tags, string.Empty, Now);
    }

    /// <summary>The relays of the newest list of a kind; a marker "read" is not where its owner writes.</summary>
    private static IReadOnlyList<string> RelaysOf(IEnumerable<NostrEvent> lists, int kind, string tagName)
    {
        var newest = lists.Where(list => list.Kind == kind).OrderByDescending(list => list.CreatedAt).ThenBy(list => list.Id).FirstOrDefault();
        return newest is null ? [] : RelayUrls.Distinct(newest.Tags.Where(tag => tag[0] == tagName && tag.Length > 1 && !(tag.Length > 2 && tag[2] == "read")).Select(tag => tag[1]));
    }

    private async Task<IReadOnlyList<NostrEvent>> FetchAsync(IReadOnlyList<string> relays, Filter filter, bool asAccount, CancellationToken cancellationToken)
    {
        var answers = await Task.WhenAll(relays.Select(relay => _network.FetchAsync(relay, filter, asAccount, cancellationToken)));
        return [.. answers.SelectMany(answer => answer.Events).DistinctBy(evt => evt.Id)];
    }

    // Private keys whose time is over.
    private void ForgetRetiredKeyPackages(StoreBatch batch)
    {
        foreach (var (reference, record) in StoredKeyPackages())
        {
            if (record.RetireAt > 0 && record.RetireAt < Now)
            {
                batch.Delete(KeyPackageRecord.Key(reference));
            }
        }
    }
}
