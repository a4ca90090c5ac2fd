using System.Net;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Index;
using Marmot.Blossom.Refusals;
using Marmot.Blossom.Storage;
using Marmot.Hosting.Callers;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Policies;

/// <summary>Every rule an upload, a mirror and a preflight must pass, in the order of their cost. Null means: go on.</summary>
internal sealed class UploadPolicy
{
    private readonly BlossomOptions _options;
    private readonly IBlobStore _store;
    private readonly IBlobIndex _index;
    private readonly TimeProvider _time;
    private readonly AddressBudget _uploads;
    private readonly AddressBudget _bytes;
    private readonly AddressBudget _keyBytes;
    private readonly AddressBudget _misses;
    private readonly HashSet<Bytes32> _allowedKeys;
    private readonly WatchedList<HashSet<Bytes32>> _blocked;
    private readonly Moderation _moderation;
    private readonly AllowList _allowList;
    private readonly OwnerTags _owners;

    public UploadPolicy(
        IOptions<BlossomOptions> options, IBlobStore store, IBlobIndex index, Moderation moderation, AllowList allowList, OwnerTags owners, TimeProvider time,
        ILogger<UploadPolicy> log)
    {
        (_moderation, _allowList, _owners) = (moderation, allowList, owners);
        _options = options.Value;
        (_store, _index, _time) = (store, index, time);
        _uploads = new AddressBudget(time, _options.UploadBurst, _options.UploadsPerMinute / 60.0);
        _bytes = new AddressBudget(time, _options.UploadBytesPerHour, _options.UploadBytesPerHour / 3600.0);
        _keyBytes = new AddressBudget(time, _options.KeyBytesPerDay, _options.KeyBytesPerDay / 86400.0);
        _misses = new AddressBudget(time, _options.MissesPerMinute, _options.MissesPerMinute / 60.0);
        _allowedKeys = [.. _options.AllowedKeys.Select(text =>
            BlossomOptions.TryReadKey(text, out var key) ? key : throw new InvalidDataException("Blossom:AllowedKeys holds what is no key"))];
        _blocked = new WatchedList<HashSet<Bytes32>>(_options.BlockedHashesFile, [], static path =>
            Count([.. BlossomOptions.ReadBlockedHashes(path)]), time, log);
    }

    /// <summary>Neither taken nor served: by <see cref="BlossomOptions.BlockedHashesFile"/>, read again when it changes, or by a decision of the
    /// operator.</summary>
    public bool IsBlocked(Bytes32 hash) => _blocked.Current.Contains(hash) || _moderation.IsBlobBanned(hash);

    /// <summary>There are addresses that are not served.</summary>
    public bool BlocksAddresses => _moderation.BlocksAddresses;

    /// <summary>Not served at all.</summary>
    public bool IsBlocked(IPAddress? address) => _moderation.IsBlocked(address);

    /// <summary>Before anything is read or verified.</summary>
    public Refusal? CheckRate(IPAddress? address) =>
        address is null || IsExempt(address) || _uploads.TryTake(_uploads.CallerOf(address), 1, out var wait) ? null : Refusal.TooMuch("uploads", wait);

    /// <summary>A question for a blob that is not there.</summary>
    public Refusal? CheckMiss(IPAddress? address) =>
        address is null || IsExempt(address) || _misses.TryTake(_misses.CallerOf(address), 1, out var wait)
            ? null
            : Refusal.TooMuch("requests for blobs that are not here", wait);

    /// <summary>What headers and token tell. <paramref name="length"/> is null when it was not declared.</summary>
    public Refusal? CheckDeclared(BlossomAuth token, Bytes32? hash, long? length, string type)
    {
        if (length > _options.MaxUploadBytes)
        {
            return Refusal.TooLarge(_options.MaxUploadBytes);
        }

        if (_options.AllowedTypes.Length > 0 && type != BlobTypes.Opaque && !_options.AllowedTypes.Any(pattern => BlobTypes.Matches(pattern, type)))
        {
            return Refusal.BadType;
        }

        if (hash is { } known && IsBlocked(known))
        {
            return Refusal.Blocked;
        }

        if (!_moderation.IsKnown)
        {
            return Refusal.Away;
        }

        if (_moderation.IsKeyBanned(token.PublicKey))
        {
            return Refusal.KeyBanned;
        }

        if ((_allowedKeys.Count > 0 || _allowList.IsSet) && !_allowedKeys.Contains(token.PublicKey) && !_allowList.Contains(token.PublicKey))
        {
            return Refusal.KeyNotAllowed;
        }

        // An undeclared length counts as large: otherwise chunked encoding would be the way around.
        if (_options.WorkBits > 0 && (length ?? long.MaxValue) > _options.WorkAboveBytes
            && Math.Min(ProofOfWork.ReadTarget(token.Event) ?? 0, ProofOfWork.LeadingZeroBits(token.Event.Id)) < _options.WorkBits)
        {
            return Refusal.Work(_options.WorkBits);
        }

        return HasRoomFor(length ?? 0) ? null : Refusal.Full;
    }

    /// <summary>Books the bytes of an upload; once, when its size is known for sure or declared.</summary>
    public Refusal? TakeBytes(IPAddress? address, Bytes32 publicKey, long length)
    {
        if (_options.KeyBytesPerDay > 0 && !_keyBytes.TryTake(_keyBytes.CallerOf(publicKey.Span), length, out var keyWait))
        {
            return Refusal.TooMuch("bytes by this key today", keyWait);
        }

        return address is null || IsExempt(address) || _bytes.TryTake(_bytes.CallerOf(address), length, out var wait) ? null : Refusal.TooMuch("bytes", wait);
    }

    /// <summary>What a key may hold in all (<see cref="BlossomOptions.KeyBytesStored"/>); it stands in the index and so outlasts a restart.</summary>
    public async ValueTask<Refusal?> CheckQuotaAsync(Bytes32 publicKey, long length, CancellationToken cancellationToken) =>
        _options.KeyBytesStored > 0 && await _index.BytesOfAsync(_owners.For(publicKey, default), cancellationToken) + length > _options.KeyBytesStored
            ? Refusal.Quota(_options.KeyBytesStored)
            : null;

    public bool HasRoomFor(long bytes) =>
        _store.FreeBytes - bytes >= _options.MinFreeBytes
        && (_options.MaxTotalBytes == 0 || _index.Totals.Bytes + bytes <= _options.MaxTotalBytes);

    /// <summary>When a blob ends: what the uploader asked for, never later than the rule for its type and size. Null is never.</summary>
    public long? EndOf(string type, long size, long? asked)
    {
        var rule = _options.RetentionRules.FirstOrDefault(rule => size >= rule.MinBytes && BlobTypes.Matches(rule.Type, type));
        var keep = rule?.Keep ?? _options.KeepFor;
        long? latest = keep > TimeSpan.Zero ? _time.GetUtcNow().ToUnixTimeSeconds() + (long)keep.TotalSeconds : null;
        return asked is null || latest < asked ? latest : asked;
    }

    private static (HashSet<Bytes32> List, int Count) Count(HashSet<Bytes32> list) => (list, list.Count);

    private bool IsExempt(IPAddress address) =>
        !_options.LimitLoopback && CallerAddress.IsLoopback(address);
}
