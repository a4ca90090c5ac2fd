using System.Runtime.CompilerServices;
using Amazon.S3.Model;
using Marmot.Blossom.Policies;
using Marmot.Hosting;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Storage.S3;

/// <summary>Blobs as objects in a bucket. What is being received waits in a file on this machine, a part at a time, so memory stays flat.</summary>
internal sealed class S3BlobStore : IBlobStore
{
    private const int MaxParts = 10_000; // of one object, S3's limit
    private static readonly TimeSpan AbandonedAge = TimeSpan.FromDays(1);

    private readonly BlobBucket _bucket;
    private readonly S3Options _options;
    private readonly string _spool;
    private readonly long _partBytes;
    private readonly TimeProvider _time;
    private readonly FreeSpace _free;
    private TimeSpan? _abandonedAt;

    public S3BlobStore(S3Options options, string spoolFolder, long maxBlobBytes, TimeProvider time)
    {
        _options = options;
        _bucket = new BlobBucket(options);
        _spool = Directory.CreateDirectory(Path.Combine(spoolFolder, "incoming")).FullName;
        _partBytes = Math.Max(options.PartBytes, (maxBlobBytes / MaxParts) + 1);
        _time = time;
        _free = new FreeSpace(_spool, time);
    }

    /// <summary>Of the spool; a bucket has no end.</summary>
    public long FreeBytes => _free.Bytes;

    public ValueTask RecoverAsync(CancellationToken cancellationToken)
    {
        foreach (var path in Directory.EnumerateFiles(_spool))
        {
            File.Delete(path);
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>The service looks after its own disks.</summary>
    public int DamagedBlobs => 0;

    public bool IsDamaged(BlobPlace place) => false;

    public ValueTask SortOutSuspectsAsync(Func<ValueTask<IReadOnlyCollection<BlobPlace>>>? claimed, CancellationToken cancellationToken) =>
        ValueTask.CompletedTask;

    public ValueTask<bool> HoldsAsync(BlobPlace place, long size, CancellationToken cancellationToken) => ValueTask.FromResult(place.Mark != Guid.Empty);

    public BlobDraft Begin(Bytes32? announced) =>
        new S3BlobDraft(_bucket, Path.Combine(_spool, Guid.NewGuid().ToString("N")), _partBytes, announced);

    /// <summary>Asks nothing: what the index knows is there, and a reader finds out when it is not.</summary>
    public ValueTask<BlobReader?> OpenAsync(BlobPlace place, CancellationToken cancellationToken) =>
        // No mark: taken while blobs were on disk.
        ValueTask.FromResult<BlobReader?>(place.Mark == Guid.Empty ? null : new S3BlobReader(_bucket, place, _options.Timeout));

    public async ValueTask<bool> DeleteAsync(BlobPlace place, CancellationToken cancellationToken)
    {
        if (place.Mark == Guid.Empty)
        {
            return false;
        }

        await _bucket.AskAsync(s3 => s3.DeleteObjectAsync(_bucket.Name, _bucket.KeyOf(place), cancellationToken), cancellationToken);
        return true;
    }

    public async IAsyncEnumerable<StoredBlob> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var request = new ListObjectsV2Request { BucketName = _bucket.Name, Prefix = _bucket.KeyPrefix };
        ListObjectsV2Response page;
        do
        {
            page = await _bucket.AskAsync(s3 => s3.ListObjectsV2Async(request, cancellationToken), cancellationToken);
            foreach (var found in page.S3Objects ?? [])
            {
                if (_bucket.TryReadKey(found.Key, out var place))
                {
                    yield return new StoredBlob(place, found.LastModified is { } at ? new DateTimeOffset(at.ToUniversalTime()) : _time.GetUtcNow());
                }
            }

            request.ContinuationToken = page.NextContinuationToken;
        }
        while (page.IsTruncated == true);
    }

    public Uri? PresignedUrl(BlobPlace place, string type) =>
        _options.Redirect && place.Mark != Guid.Empty ? _bucket.Presign(place, type, asAttachment: !BlobTypes.IsPassive(type)) : null;

    /// <summary>One small question; once a day also ends uploads in parts whose server died (S3 keeps and charges their parts for ever).</summary>
    public async ValueTask ProbeAsync(CancellationToken cancellationToken)
    {
        if (_time.GetUptime() - _abandonedAt < AbandonedAge)
        {
            await _bucket.AskAsync(s3 => s3.ListObjectsV2Async(new ListObjectsV2Request { BucketName = _bucket.Name, MaxKeys = 1 }, cancellationToken),
                cancellationToken);
            return;
        }

        var uploads = await _bucket.AskAsync(
            s3 => s3.ListMultipartUploadsAsync(new ListMultipartUploadsRequest { BucketName = _bucket.Name, Prefix = _bucket.KeyPrefix }, cancellationToken),
            cancellationToken);
        foreach (var upload in uploads.MultipartUploads ?? [])
        {
            if (_bucket.TryReadKey(upload.Key, out _) && upload.Initiated is { } at && _time.GetUtcNow() - at.ToUniversalTime() > AbandonedAge)
            {
                await _bucket.AskAsync(s3 => s3.AbortMultipartUploadAsync(_bucket.Name, upload.Key, upload.UploadId, cancellationToken), cancellationToken);
            }
        }

        _abandonedAt = _time.GetUptime();
    }

    public ValueTask DisposeAsync()
    {
        _bucket.Dispose();
        return ValueTask.CompletedTask;
    }
}
