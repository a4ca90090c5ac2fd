using Marmot.Client.Adopted;
using Marmot.Client.Convergence;
using Marmot.Client.Groups;
using Marmot.Client.Storage;

namespace Marmot.Client.Accounts;

/// <summary>
/// What follows when the store may be a copy that was put back (docs/decisions/0022): the generations of its ratchets may have been used since, and its key
/// packages too. Groups get fresh keys before anything is sent into them, key packages are replaced by the next maintenance.
/// </summary>
internal static class PutBackCopy
{
    /// <summary>Draws the consequences, all in one batch; does nothing when the store is known to be the one last written.</summary>
    public static void Heed(ClientStore store)
    {
        if (store.Get(ClientStore.CopyKey) is null)
        {
            return;
        }

        var batch = new StoreBatch();
        foreach (var (key, value) in store.Scan("g/").Where(pair => pair.Key.EndsWith("/record", StringComparison.Ordinal)))
        {
            var record = StoreJson.Read<GroupRecord>(value);
            record.NeedsFreshKeys = record.IsActive;
            batch.PutJson(key, record);
        }

        foreach (var (key, value) in store.Scan("ag/"))
        {
            if (key.EndsWith("/record", StringComparison.Ordinal))
            {
                var record = StoreJson.Read<AdoptedRecord>(value);
                record.IsCopy = true;
                batch.PutJson(key, record);
            }
            else if (key.Contains("/state-entry/", StringComparison.Ordinal))
            {
                batch.PutJson(key, StoreJson.Read<SnapshotEntry>(value) with { IsFresh = false });
            }
        }

        foreach (var (reference, record) in KeyPackageRecord.All(store).Where(one => one.Record is { IsUsedUp: false, RetireAt: 0 }))
        {
            batch.PutJson(KeyPackageRecord.Key(reference), record with { IsPublished = false });
        }

        batch.Delete(ClientStore.CopyKey);
        store.Commit(batch);
    }
}
