using System.IO.Pipelines;
using System.Net;
using Amazon.S3;
using Amazon.S3.Model;

namespace Marmot.Blossom.Storage.S3;

/// <summary>An object, asked for by range when it is copied.</summary>
internal sealed class S3BlobReader(BlobBucket bucket, BlobPlace place, TimeSpan patience) : BlobReader
{
    private const int ChunkBytes = 64 * 1024;

    public override async ValueTask<long> GetLengthAsync(CancellationToken cancellationToken)
    {
        try
        {
            return (await bucket.AskAsync(s3 => s3.GetObjectMetadataAsync(bucket.Name, bucket.KeyOf(place), cancellationToken),
                cancellationToken)).ContentLength;
        }
        catch (StorageUnavailableException error) when (error.InnerException is AmazonS3Exception { StatusCode: HttpStatusCode.NotFound })
        {
            throw new FileNotFoundException("no such object", error); // an answer to HEAD has no body that could say more
        }
    }

    public override async ValueTask CopyToAsync(PipeWriter destination, long offset, long count, CancellationToken cancellationToken)
    {
        if (count == 0)
        {
            return;
        }

        var request = new GetObjectRequest { BucketName = bucket.Name, Key = bucket.KeyOf(place), ByteRange = new ByteRange(offset, offset + count - 1) };
        using var answer = await bucket.AskAsync(s3 => s3.GetObjectAsync(request, cancellationToken), cancellationToken);
        if (answer.ContentLength != count)
        {
            throw new StorageUnavailableException(BlobBucket.Part, new InvalidDataException("an answer of another length than was asked for"));
        }

        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        while (count > 0)
        {
            var buffer = destination.GetMemory((int)Math.Min(ChunkBytes, count));
            var read = await ReadAsync(answer.ResponseStream, buffer[..(int)Math.Min(buffer.Length, count)], silence, cancellationToken);
            if (read == 0)
            {
                throw new EndOfStreamException("object is shorter than its index entry");
            }

            destination.Advance(read);
            count -= read;
            if ((await destination.FlushAsync(cancellationToken)).IsCompleted)
            {
                return;
            }
        }
    }

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>The client's own timeout ends with the headers; a body that stalls must not hold the request for ever.</summary>
    private async ValueTask<int> ReadAsync(Stream body, Memory<byte> buffer, CancellationTokenSource silence, CancellationToken cancellationToken)
    {
        silence.CancelAfter(patience);
        try
        {
            var read = await body.ReadAsync(buffer, silence.Token);
            silence.CancelAfter(Timeout.InfiniteTimeSpan); // the client's own slowness does not count
            return read;
        }
        catch (Exception error) when (BlobBucket.IsAway(error, cancellationToken))
        {
            throw new StorageUnavailableException(BlobBucket.Part, error);
        }
    }
}
