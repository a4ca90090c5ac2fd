using System.Buffers;
using Amazon.S3.Model;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage.S3;

/// <summary>An upload on its way to a bucket. Owned by one request.</summary>
/// <remarks>
/// With an announced hash the key is known from the start: each full part is sent while the next is received, the two taking turns in a
/// file of two parts' size. Without one the file holds all of it and the parts go out on commit. Either way the object
/// appears only when it is completed, which is after the hash was compared; a blob smaller than a part is one PUT that carries its SHA-256.
/// </remarks>
internal sealed class S3BlobDraft : BlobDraft
{
    private readonly BlobBucket _bucket;
    private readonly string _path;
    private readonly long _partBytes;
    private readonly Bytes32? _announced;
    private readonly Guid _mark = Guid.NewGuid();
    private readonly SafeFileHandle _file;
    private readonly List<PartETag> _sent = [];
    private readonly CancellationTokenSource _abandoned = new();
    private Task _sending = Task.CompletedTask;
    private string? _key; // while an upload in parts is open
    private string? _upload;
    private int _part; // number of the part being filled, from 0
    private long _inPart;
    private bool _isDone;

    public S3BlobDraft(BlobBucket bucket, string path, long partBytes, Bytes32? announced)
    {
        (_bucket, _path, _partBytes, _announced) = (bucket, path, partBytes, announced);
        _file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete);
    }

    public override async ValueTask AppendAsync(ReadOnlySequence<byte> bytes, CancellationToken cancellationToken)
    {
        foreach (var segment in bytes)
        {
            for (var rest = segment; !rest.IsEmpty;)
            {
                if (_inPart == _partBytes)
                {
                    await FinishPartAsync();
                }

                var taken = (int)Math.Min(rest.Length, _partBytes - _inPart);
                RandomAccess.Write(_file, rest.Span[..taken], OffsetOf(_part) + _inPart);
                _inPart += taken;
                rest = rest[taken..];
            }
        }
    }

    public override async ValueTask<BlobPlace> CommitAsync(Bytes32 hash, CancellationToken cancellationToken)
    {
        if (_announced is { } announced && announced != hash)
        {
            throw new InvalidOperationException("the draft was begun for another hash");
        }

        var place = new BlobPlace(hash, _mark);
        var key = _bucket.KeyOf(place);
        if (_part == 0)
        {
            await PutAsync(key, hash);
        }
        else
        {
            await _sending;
            for (var part = _announced is null ? 0 : _part; part <= _part; part++)
            {
                await SendAsync(key, part, part == _part ? _inPart : _partBytes);
            }

            var completed = await _bucket.AskAsync(
                s3 => s3.CompleteMultipartUploadAsync(new CompleteMultipartUploadRequest
                {
                    BucketName = _bucket.Name,
                    Key = key,
                    UploadId = _upload,
                    PartETags = _sent,
                }, _abandoned.Token),
                _abandoned.Token);
            BlobBucket.Require(completed.ETag, "an ETag");
        }

        _isDone = true;
        return place;
    }

    public override async ValueTask DisposeAsync()
    {
        if (!_isDone)
        {
            await AbortAsync();
        }

        _abandoned.Dispose();
        _file.Dispose();
        File.Delete(_path);
    }

    private long OffsetOf(int part) => (_announced is null ? part : part & 1) * _partBytes;

    /// <summary>The part is full and more bytes follow. Waits for the part before it: the sender's pace is the receiver's.</summary>
    private async ValueTask FinishPartAsync()
    {
        if (_announced is { } hash)
        {
            await _sending;
            _sending = SendAsync(_bucket.KeyOf(new BlobPlace(hash, _mark)), _part, _partBytes);
        }

        _part++;
        _inPart = 0;
    }

    private async Task SendAsync(string key, int part, long length)
    {
        if (_upload is null)
        {
            var begun = await _bucket.AskAsync(
                s3 => s3.InitiateMultipartUploadAsync(new InitiateMultipartUploadRequest { BucketName = _bucket.Name, Key = key }, _abandoned.Token),
                _abandoned.Token);
            (_key, _upload) = (key, BlobBucket.Require(begun.UploadId, "an upload id"));
        }

        await using var bytes = OpenAt(OffsetOf(part));
        var request = new UploadPartRequest
        {
            BucketName = _bucket.Name,
            Key = key,
            UploadId = _upload,
            PartNumber = part + 1,
            InputStream = bytes,
            PartSize = length,
        };
        var answer = await _bucket.AskAsync(s3 => s3.UploadPartAsync(request, _abandoned.Token), _abandoned.Token);
        _sent.Add(new PartETag(part + 1, BlobBucket.Require(answer.ETag, "an ETag")));
    }

    private async Task PutAsync(string key, Bytes32 hash)
    {
        await using var bytes = OpenAt(0);
        var request = new PutObjectRequest
        {
            BucketName = _bucket.Name,
            Key = key,
            InputStream = bytes,
            AutoCloseStream = false,
            ChecksumSHA256 = Convert.ToBase64String(hash.Span),
        };
        var answer = await _bucket.AskAsync(s3 => s3.PutObjectAsync(request, _abandoned.Token), _abandoned.Token);
        BlobBucket.Require(answer.ETag, "an ETag");
    }

    private FileStream OpenAt(long offset) =>
        new(_path, new FileStreamOptions { Access = FileAccess.Read, Share = FileShare.ReadWrite | FileShare.Delete, BufferSize = 0 }) { Position = offset };

    /// <summary>Takes back what was sent. When S3 is away too, the parts wait for <see cref="S3BlobStore.ProbeAsync"/>.</summary>
    private async ValueTask AbortAsync()
    {
        await _abandoned.CancelAsync();
        try
        {
            await _sending;
        }
        catch (Exception error) when (error is OperationCanceledException or IOException)
        {
            // it failed for the caller already, or was cancelled just now
        }

        if (_upload is null)
        {
            return;
        }

        try
        {
            await _bucket.AskAsync(s3 => s3.AbortMultipartUploadAsync(_bucket.Name, _key, _upload, CancellationToken.None), CancellationToken.None);
        }
        catch (IOException)
        {
            // away: see above
        }
    }
}
