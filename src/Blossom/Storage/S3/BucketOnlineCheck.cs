using Amazon.S3.Model;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Storage.S3;

/// <summary>The bucket of <c>Blossom:S3</c>: it can be reached and listed with the keys given.</summary>
internal sealed class BucketOnlineCheck(IOptions<BlossomOptions> options) : IOnlineCheck
{
    public async Task<string?> FindMistakeAsync(CancellationToken cancellationToken)
    {
        if (options.Value.Blobs != BlobStorage.S3)
        {
            return null;
        }

        try
        {
            using var bucket = new BlobBucket(options.Value.S3);
            await bucket.AskAsync(s3 => s3.ListObjectsV2Async(new ListObjectsV2Request { BucketName = bucket.Name, MaxKeys = 1 }, cancellationToken),
                cancellationToken);
            return null;
        }
        catch (Exception exception) when (exception is StorageUnavailableException or FileNotFoundException or OperationCanceledException or IOException)
        {
            return $"Blossom:S3: {(exception is OperationCanceledException ? "no answer" : exception.InnerException?.Message ?? exception.Message)}";
        }
    }
}
