using System.Security.Cryptography;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Groups;

internal sealed partial class GroupSession
{
    /// <summary>
    /// What becomes of a new Welcome into this group. It is followed after a removal; into a later epoch when nobody else was heard; or when an admin, as known
    /// here, invites into a later epoch than any heard, in a branch where our leaf is not: the commit that brought us in has lost its race. Of two into one
    /// epoch, while nobody was heard, both are kept. A stranger who knows the group's id cannot lure us away, nor can a second invitation while we are a
    /// member. The leaf just made may have our key, when a key package of last resort was used twice; no tree has two leaves with one key (RFC 9420, 7.3).
    /// </summary>
    public WelcomeFate FateOf(MlsGroup other, in Bytes32 inviter)
    {
        if (_mls is null || !_record.IsActive)
        {
            return WelcomeFate.Follow;
        }

        if (!_record.HasHeard)
        {
            return other.Epoch > _record.JoinEpoch ? WelcomeFate.Follow
                : other.Epoch == _record.JoinEpoch && _record.OtherBranches < MaxOtherBranches ? WelcomeFate.Keep
                : WelcomeFate.Refuse;
        }

        byte[] own = _mls.Leaf(_mls.OwnLeaf)!.SignatureKey;
        var account = inviter;
        return other.Epoch > _record.HeardEpoch && Data.Admins.Contains(account) && LeavesOf(account).Count > 0
            && !other.Members.Any(member => member.Index != other.OwnLeaf && member.Leaf.SignatureKey.AsSpan().SequenceEqual(own))
                ? WelcomeFate.Follow
                : WelcomeFate.Refuse;
    }

    /// <summary>Keeps another Welcome into the epoch this group was joined in.</summary>
    public void KeepBranch(MlsGroup other, in Bytes32 wrapId, long welcomedAt, StoreBatch batch)
    {
        _record.OtherBranches++;
        batch.PutJson(OtherBranchPrefix + wrapId, new OtherBranch(other.Serialize(), welcomedAt));
        batch.PutJson(Prefix + "record", _record);
    }

    /// <summary>The kept branch whose key opens an envelope; null when none does. The caller owns the state.</summary>
    internal (MlsGroup State, long WelcomedAt)? FindBranch(GroupEvent envelope)
    {
        foreach (var (_, value) in _store.Scan(OtherBranchPrefix))
        {
            var branch = StoreJson.Read<OtherBranch>(value);
            if (!MlsGroup.TryRestore(branch.State, MipGroup.Rules, out var state) || state is null)
            {
                continue;
            }

            byte[] key = MipGroup.EnvelopeKey(state, state.Epoch);
            bool isIts = envelope.TryOpen(key, out _);
            CryptographicOperations.ZeroMemory(key);
            if (isIts)
            {
                return (state, branch.WelcomedAt);
            }

            state.Dispose();
        }

        return null;
    }

    /// <summary>Goes over to another branch of the epoch this group was joined in: what was made on ours has no readers.</summary>
    internal void TakeBranch(MlsGroup state, long welcomedAt, StoreBatch batch)
    {
        Abandon(batch, keep: false);
        Race.TakeBack(batch, epoch: 0);
        Replace(state);
        (_record.EpochBeganAt, _record.ProposalsAt, _record.NeedsSelfUpdate) = (welcomedAt, 0, true);
        var routing = Data.NostrGroupId;
        _record.RoutingIds.Remove(routing);
        _record.RoutingIds.Insert(0, routing);
        ForgetBranches(batch);
    }

    /// <summary>Drops the branches that nobody was heard on.</summary>
    internal void ForgetBranches(StoreBatch batch)
    {
        foreach (var (key, _) in _record.OtherBranches > 0 ? _store.Scan(OtherBranchPrefix) : [])
        {
            batch.Delete(key);
        }

        _record.OtherBranches = 0;
    }

    private string OtherBranchPrefix => Prefix + "branch/";
}
