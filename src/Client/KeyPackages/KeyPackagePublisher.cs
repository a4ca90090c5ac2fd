using System.Globalization;
using Marmot.Client.Accounts;
using Marmot.Client.Adopted;
using Marmot.Client.Groups;
using Marmot.Client.Profiles;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client.KeyPackages;

/// <summary>The own key packages: made, published, replaced, deleted (MIP-00).</summary>
internal sealed class KeyPackagePublisher
{
    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;

    public KeyPackagePublisher(Account account, GroupSessions sessions, RelayRequests relays)
        => (_account, _sessions, _relays) = (account, sessions, relays);

    /// <summary>Welcomes under way to a replaced key package are still opened for this long (MIP-00).</summary>
    private static readonly TimeSpan RetirePause = TimeSpan.FromHours(24);

    /// <summary>Makes a key package, stores its private keys, then publishes it; in a slot that is taken it replaces the one there.</summary>
    public async Task<PublishedKeyPackage> PublishAsync(string? slot = null, bool lastResort = true, bool legacyCopy = false,
        CancellationToken cancellationToken = default)
    {
        using var gate = await _sessions.EnterAsync(cancellationToken);
        slot ??= _account.Settings.Slot;
        SenderLimits.CheckSlot(slot);
        var old = KeyPackageRecord.All(_account.Store).Where(one => one.Record.Slot == slot && one.Record.RetireAt == 0).ToList();
        long createdAt = _account.TakeCreatedAt(ProfileDetector.KeyPackageKind, slot);
        bool isAdopted = _account.Settings.Profile == MarmotProfile.Adopted;
        if (isAdopted && (legacyCopy || !lastResort))
        {
            throw new ClientException("a key package of the adopted profile is a last resort and has no copy of kind 443");
        }

        using var secrets = isAdopted ? AdoptedLeaf.Create(_account.Key, _account.Time.GetUtcNow())
            : MipGroup.CreateKeyPackage(_account.PublicKey, lastResort, _account.Time.GetUtcNow());
        var relays = _account.Settings.KeyPackageRelays;
        var evt = isAdopted
            ? AdoptedKeyPackages.CreateEvent(_account.Key, secrets.KeyPackage, Bytes32.ParseHex(slot), createdAt)
            : KeyPackageEvent.Create(_account.Key, secrets.KeyPackage, slot, relays, createdAt);
        var copy = legacyCopy ? KeyPackageEvent.Create(_account.Key, secrets.KeyPackage, null, relays, createdAt) : null;
        var reference = new Bytes32(secrets.KeyPackage.Reference());
        var record = new KeyPackageRecord(secrets.ToBytes(), slot, lastResort, evt.Id, copy?.Id, createdAt, [.. relays]);

        // 1. Private keys first: a Welcome may come before the relay's OK does.
        var batch = new StoreBatch();
        batch.PutJson(KeyPackageRecord.Key(reference), record);
        _account.Store.Commit(batch);

        // 2. Publish.
        var published = new List<PublishedEvent> { await _relays.PublishAsync(evt, relays, cancellationToken) };
        if (!published[0].Acked)
        {
            if (published[0].IsRefused)
            {
                batch = new StoreBatch();
                batch.Delete(KeyPackageRecord.Key(reference));
                _account.Store.Commit(batch);
            }

            throw new ClientException($"no relay took the key package: {published[0].Reasons}");
        }

        if (copy is not null)
        {
            published.Add(await _relays.PublishAsync(copy, relays, cancellationToken));
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
                batch.PutJson(KeyPackageRecord.Key(oldReference), oldRecord with { RetireAt = _account.Now + (long)RetirePause.TotalSeconds });
            }
        }

        _account.Store.Commit(batch);
        foreach (var (_, oldRecord) in old.Where(one => one.Record.LegacyEventId is not null))
        {
            await _relays.PublishAsync(Deletion([oldRecord.LegacyEventId!.Value], null, ProfileDetector.LegacyKeyPackageKind), relays, cancellationToken);
        }

        return new PublishedKeyPackage(reference, evt, published);
    }

    /// <summary>The own key packages whose private keys are still here.</summary>
    public IReadOnlyList<OwnKeyPackage> List() =>
        [
            .. KeyPackageRecord.All(_account.Store).Where(one => !one.Record.IsUsedUp)
                .Select(one =>
                    new OwnKeyPackage(one.Reference, one.Record.Slot, one.Record.EventId, one.Record.CreatedAt, one.Record.IsLastResort, one.Record.Uses,
                        one.Record.RetireAt > 0))
        ];

    /// <summary>
    /// After a change of the profile: every slot of this account on its relays gets a key package of the new one, and slots that are not this device's are
    /// deleted, since one event of another form makes the
    /// account impossible to invite.
    /// </summary>
    public async Task<IReadOnlyList<PublishedEvent>> ReplaceAllAsync(CancellationToken cancellationToken)
    {
        var published = new List<PublishedEvent>();
        var own = KeyPackageRecord.All(_account.Store).Where(one => one.Record.RetireAt == 0).Select(one => one.Record.Slot).Append(_account.Settings.Slot)
            .Distinct(StringComparer.Ordinal).ToList();
        foreach (string slot in own)
        {
            published.AddRange((await PublishAsync(slot, cancellationToken: cancellationToken)).Published);
        }

        var relays = RelayUrls.Distinct([.. _account.Settings.Relays, .. _account.Settings.KeyPackageRelays]);
        var found = await _relays.FetchAsync(relays, new Filter { Authors = [_account.PublicKey], Kinds = [ProfileDetector.KeyPackageKind] },
            asAccount: false, cancellationToken);
        foreach (var other in found
            .Where(evt => ProfileDetector.OfKeyPackage(evt) != _account.Settings.Profile && evt.TagValue("d") is { } slot && !own.Contains(slot)))
        {
            published.Add(await _relays.PublishAsync(Deletion([other.Id], other.TagValue("d"), ProfileDetector.KeyPackageKind), relays, cancellationToken));
        }

        return published;
    }

    /// <summary>Publishes another key package in the same slot (MIP-00: after use, and from time to time).</summary>
    public async Task<PublishedKeyPackage> RotateAsync(Bytes32 reference, CancellationToken cancellationToken = default)
    {
        var record = _account.Store.GetJson<KeyPackageRecord>(KeyPackageRecord.Key(reference)) ?? throw new ClientException("no such key package");
        bool isAdopted = _account.Settings.Profile == MarmotProfile.Adopted;
        return await PublishAsync(record.Slot, record.IsLastResort || isAdopted, record.LegacyEventId is not null && !isAdopted, cancellationToken);
    }

    /// <summary>Asks the relays to delete a key package and wipes its private keys.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> DeleteAsync(Bytes32 reference, CancellationToken cancellationToken = default)
    {
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var record = _account.Store.GetJson<KeyPackageRecord>(KeyPackageRecord.Key(reference)) ?? throw new ClientException("no such key package");
        var batch = new StoreBatch();
        batch.Delete(KeyPackageRecord.Key(reference));
        _account.Store.Commit(batch);
        var published =
            new List<PublishedEvent> { await _relays.PublishAsync(
                Deletion([record.EventId], record.RetireAt == 0 ? record.Slot : null, ProfileDetector.KeyPackageKind), record.Relays, cancellationToken) };
        if (record.LegacyEventId is { } copy)
        {
            published.Add(await _relays.PublishAsync(Deletion([copy], null, ProfileDetector.LegacyKeyPackageKind), record.Relays, cancellationToken));
        }

        return published;
    }

    /// <summary>Another key package for every slot whose own was used, or of which no relay has said that it took it.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> RenewAsync(CancellationToken cancellationToken)
    {
        var published = new List<PublishedEvent>();
        foreach (var (reference, _) in KeyPackageRecord.All(_account.Store)
            .Where(one => one.Record.RetireAt == 0 && (one.Record.Uses > 0 || !one.Record.IsPublished)).DistinctBy(one => one.Record.Slot).ToList())
        {
            published.AddRange((await RotateAsync(reference, cancellationToken)).Published);
        }

        return published;
    }

    // Private keys whose time is over.
    public void ForgetRetired(StoreBatch batch)
    {
        foreach (var (reference, record) in KeyPackageRecord.All(_account.Store))
        {
            if (record.RetireAt > 0 && record.RetireAt < _account.Now)
            {
                batch.Delete(KeyPackageRecord.Key(reference));
            }
        }
    }

    private NostrEvent Deletion(IReadOnlyList<Bytes32> events, string? slot, int kind)
    {
        List<string[]> tags = [.. events.Select(id => new[] { "e", id.ToString() })];
        if (slot is not null)
        {
            tags.Add(["a", $"{kind}:{_account.PublicKey}:{slot}"]);
        }

        tags.Add(["k", kind.ToString(CultureInfo.InvariantCulture)]);
        return NostrEvent.Create(_account.Key, MarmotNumbers.DeletionKind, tags, string.Empty, _account.Now);
    }
}
