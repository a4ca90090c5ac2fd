using Amazon.Runtime;
using Marmot.Hosting.Outgoing;

namespace Marmot.Blossom.Storage.S3;

/// <summary>The HTTP client of the S3 library: one of ours, kept as long as the bucket.</summary>
internal sealed class BucketHttp(TimeSpan timeout) : HttpClientFactory, IDisposable
{
    private readonly HttpClient _client = OutgoingHttp.CreateClient(timeout);

    public override HttpClient CreateHttpClient(IClientConfig clientConfig) => _client;

    public override bool UseSDKHttpClientCaching(IClientConfig clientConfig) => false;

    public override bool DisposeHttpClientsAfterUse(IClientConfig clientConfig) => false;

    public void Dispose() => _client.Dispose();
}
