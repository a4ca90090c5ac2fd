using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Hosting.Lifetime;

/// <summary>The HTTP server, which at its stop waits for transfers under way: here only for a part of the time, so that what stops after it has some
/// left.</summary>
/// <param name="inner">The server.</param>
/// <param name="lifetime">How long it may wait, and whether it is in a hurry.</param>
internal sealed class ServerWithDeadline(IServer inner, DrainLifetime lifetime) : IServer
{
    /// <inheritdoc/>
    public IFeatureCollection Features => inner.Features;

    /// <inheritdoc/>
    public Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
        where TContext : notnull => inner.StartAsync(application, cancellationToken);

    /// <summary>Lets transfers end for a time and then aborts their connections.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, lifetime.Hurry);
        deadline.CancelAfter(lifetime.TransferTime);
        await inner.StopAsync(deadline.Token);
    }

    /// <inheritdoc/>
    public void Dispose() => inner.Dispose();

    /// <summary>Puts it before the server that is registered by its type.</summary>
    public static void Wrap(IServiceCollection services)
    {
        var server = services.Last(service => service.ServiceType == typeof(IServer)).ImplementationType!;
        services.AddSingleton(server);
        services.AddSingleton<IServer>(provider =>
            new ServerWithDeadline((IServer)provider.GetRequiredService(server), provider.GetRequiredService<DrainLifetime>()));
    }
}
