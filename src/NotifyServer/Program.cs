using Marmot.Hosting;
using Marmot.Hosting.Lifetime;
using Marmot.NotifyServer;

if (args is ["test" or "doctor" or "keys", ..])
{
    return await NotifyCommands.RunAsync(args);
}

var builder = MarmotHost.CreateBuilder(args);
builder.AddNotify();
var app = builder.Build();
app.MapNotify();
return await app.RunToEndAsync();
