-- Shared by every script of the ledger. KEYS[1] is the prefix of the project; other keys are made from it.
-- job:ID a hash, call:KEY the job of a call in flight, due what the reaper looks at next, in:STATE who is in a state,
-- up:ID the jobs that wait for ID, down:ID the parts that ID waits for, use:NODE and lim:NAME what running jobs hold.
local P = KEYS[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local ENDED = {done = true, failed = true, dead = true, cancelled = true}

local function job(id) return P .. 'job:' .. id end
local function get(id, field) return redis.call('HGET', job(id), field) end
local function number(id, field) return tonumber(get(id, field) or 0) or 0 end

local function move(id, state)
  local before = get(id, 'state')
  if before then redis.call('ZREM', P .. 'in:' .. before, id) end
  redis.call('HSET', job(id), 'state', state)
  redis.call('HINCRBY', P .. 'totals', state, 1)
  if state ~= 'done' then redis.call('ZADD', P .. 'in:' .. state, now, id) end
  redis.call('PUBLISH', P .. 'events', cjson.encode({job = id, state = state}))
end

-- A Celery message (protocol 2) as kombu's Redis transport lays it into a list. It only says "look at job ID": the
-- ledger is the truth. A second one comes after 5 s, 10 s, 20 s..., in case a worker died with it in its hands.
local function hint(id)
  local count = redis.call('HINCRBY', job(id), 'hints', 1)
  local queue, step, timeout = unpack(redis.call('HMGET', job(id), 'queue', 'step', 'timeout'))
  local limits = '[null,null]'
  if timeout ~= '' then limits = '[' .. (tonumber(timeout) + 10) .. ',' .. timeout .. ']' end
  local message = '{"body":"[[],{},{\\"callbacks\\":null,\\"errbacks\\":null,\\"chain\\":null,\\"chord\\":null}]",' ..
    '"content-encoding":"utf-8","content-type":"application/json","headers":{"lang":"py","task":"cu.run","id":"' .. id ..
    '","root_id":"' .. id .. '","parent_id":null,"group":null,"argsrepr":"","kwargsrepr":"","origin":"cu","retries":0,' ..
    '"timelimit":' .. limits .. ',"eta":null,"expires":null,"ignore_result":true},"properties":{"correlation_id":"' .. id ..
    '","reply_to":"","delivery_mode":2,"delivery_info":{"exchange":"","routing_key":' .. cjson.encode(queue) ..
    '},"priority":' .. step .. ',"delivery_tag":"' .. id .. '.' .. count .. '"}}'
  local list = P .. 'mq:' .. queue
  if step ~= '0' then list = list .. '\6\22' .. step end
  redis.call('LPUSH', list, message)
  redis.call('ZADD', P .. 'due', now + math.min(5 * 2 ^ (count - 1), 300), id)
end

local function enqueue(id)
  redis.call('HSET', job(id), 'hints', 0)
  move(id, 'queued')
  hint(id)
end

-- Gives back what a running job held, and wakes those that had no room.
local function free(id)
  local node, resources, limits = unpack(redis.call('HMGET', job(id), 'node', 'resources', 'limits'))
  if resources == '{}' and limits == '{}' then return end
  redis.call('HDEL', P .. 'use:' .. (node or ''), id)
  for name in pairs(cjson.decode(limits)) do redis.call('ZREM', P .. 'lim:' .. name, id) end
  for _, other in ipairs(redis.call('ZRANGE', P .. 'parked', 0, 15)) do
    redis.call('ZREM', P .. 'parked', other)
    if get(other, 'state') == 'queued' then hint(other) end
  end
end

local function forget(id)
  local key = P .. 'call:' .. get(id, 'key')
  if redis.call('GET', key) == id then redis.call('DEL', key) end
  redis.call('ZREM', P .. 'due', id)
  redis.call('ZREM', P .. 'parked', id)
  redis.call('DEL', P .. 'down:' .. id)
end

-- What a job says that cannot have one of its parts: the first cause, however deep in the tree.
local function part_failed(part, state, why)
  local cause = cjson.decode(why)
  if cause.type == 'PartFailed' then return why end
  return cjson.encode({type = 'PartFailed', part = part, cause = cause,
    message = get(part, 'name') .. ' ' .. state .. ': ' .. (cause.message or '')})
end

-- Ends a job without a result, and with it every job that waits for it.
local function give_up(first, state, problem, ttl)
  local pending = {{first, state, problem}}
  while #pending > 0 do
    local id, ending, why = unpack(table.remove(pending))
    if not ENDED[get(id, 'state') or 'done'] then
      free(id)
      forget(id)
      redis.call('HINCRBY', job(id), 'fence', 1)
      redis.call('HSET', job(id), 'error', why, 'finished', now)
      move(id, ending)
      redis.call('EXPIRE', job(id), ttl)
      local label = part_failed(id, ending, why)
      for _, parent in ipairs(redis.call('SMEMBERS', P .. 'up:' .. id)) do
        if get(parent, 'state') == 'waiting' then pending[#pending + 1] = {parent, 'failed', label} end
      end
      redis.call('DEL', P .. 'up:' .. id)
    end
  end
end

-- One part less to wait for; `key` is where its result lies, when other code than planned computed it.
local function part_done(parent, planned, key)
  if key ~= planned then redis.call('HSET', job(parent), 'moved', 1, 'as:' .. planned, key) end
  if redis.call('HINCRBY', job(parent), 'waits', -1) <= 0 and get(parent, 'state') == 'waiting' then
    redis.call('DEL', P .. 'down:' .. parent)
    enqueue(parent)
  end
end

-- Lets a job wait for its parts, or queues it when all are done.
local function wait_for(id, parts, ttl)
  local waits = 0
  for _, part in ipairs(parts) do
    local state, key, result = unpack(redis.call('HMGET', job(part), 'state', 'key', 'result'))
    if state == 'done' then
      if result ~= key then redis.call('HSET', job(id), 'moved', 1, 'as:' .. key, result) end
    elseif state and ENDED[state] then
      redis.call('HSET', job(id), 'waits', 1)
      move(id, 'waiting')
      give_up(id, 'failed', part_failed(part, state, get(part, 'error') or '{}'), ttl)
      return
    elseif state then
      redis.call('SADD', P .. 'up:' .. part, id)
      if redis.call('SADD', P .. 'down:' .. id, part) == 1 then waits = waits + 1 end
    end
  end
  redis.call('HSET', job(id), 'waits', waits)
  if waits == 0 then enqueue(id) else
    move(id, 'waiting')
    redis.call('ZADD', P .. 'due', now + 60, id)
  end
end

-- Makes a record; an equal call in flight is joined instead. Returns the id that counts, and whether it is new.
local function create(id, fields, arguments)
  local call = P .. 'call:' .. fields.key
  local known = redis.call('GET', call)
  if known and redis.call('EXISTS', job(known)) == 1 then
    if fields.top == '1' then redis.call('HSET', job(known), 'top', '1') end
    return known, 0
  end
  redis.call('SET', call, id)
  local flat = {'args', arguments, 'created', now, 'fence', 0, 'attempts', 0, 'tries', 0, 'lost', 0, 'hints', 0, 'waits', 0}
  for name, value in pairs(fields) do flat[#flat + 1] = name; flat[#flat + 1] = value end
  redis.call('HSET', job(id), unpack(flat))
  return id, 1
end

local function holds(id, fence)
  return get(id, 'state') == 'running' and get(id, 'fence') == fence
end

local function lose(id, max_lost, ttl)
  local lost = redis.call('HINCRBY', job(id), 'lost', 1)
  if lost >= tonumber(max_lost) then
    give_up(id, 'dead', cjson.encode({type = 'WorkerLost', message = 'its worker died or vanished ' .. lost ..
      ' times while running it, last on ' .. (get(id, 'node') or '?')}), ttl)
  else
    free(id)
    redis.call('HINCRBY', job(id), 'fence', 1)
    enqueue(id)
  end
end

-- A lease on a queued job: its id, its fields, and where moved results lie; or a word that says why not.
local function claim(id, node, lease, offered, max_lost, ttl)
  local state = get(id, 'state')
  if state == 'running' and number(id, 'lease') < now then
    lose(id, max_lost, ttl)
    state = get(id, 'state')
  end
  if state ~= 'queued' then return state or 'gone' end
  if number(id, 'next') > now then
    redis.call('ZADD', P .. 'due', number(id, 'next'), id)
    return 'later'
  end
  local resources, limits = unpack(redis.call('HMGET', job(id), 'resources', 'limits'))
  if resources ~= '{}' or limits ~= '{}' then
    local used, room = {}, true
    for _, held in ipairs(redis.call('HVALS', P .. 'use:' .. node)) do
      for name, amount in pairs(cjson.decode(held)) do used[name] = (used[name] or 0) + amount end
    end
    local offers = cjson.decode(offered)
    for name, amount in pairs(cjson.decode(resources)) do
      if (used[name] or 0) + amount > (offers[name] or 0) then room = false end
    end
    for name, most in pairs(cjson.decode(limits)) do
      if redis.call('ZCARD', P .. 'lim:' .. name) >= most then room = false end
    end
    if not room then
      redis.call('ZADD', P .. 'parked', 'NX', now, id)
      redis.call('ZADD', P .. 'due', now + 2, id)
      return 'no room'
    end
    redis.call('HSET', P .. 'use:' .. node, id, resources)
    for name in pairs(cjson.decode(limits)) do redis.call('ZADD', P .. 'lim:' .. name, now, id) end
  end
  redis.call('ZREM', P .. 'parked', id)
  redis.call('HINCRBY', job(id), 'fence', 1)
  redis.call('HINCRBY', job(id), 'attempts', 1)
  redis.call('HSETNX', job(id), 'started', now)
  redis.call('HSET', job(id), 'node', node, 'lease', now + lease)
  redis.call('ZADD', P .. 'due', now + lease, id)
  move(id, 'running')
  local fields = redis.call('HMGET', job(id), 'fence', 'name', 'version', 'key', 'args', 'attempts', 'timeout', 'then')
  local moved = {}
  if get(id, 'moved') then moved = redis.call('HGETALL', job(id)) end
  return {id, fields, moved}
end

-- Pops hints as Celery would, the most urgent first, until one leads to a claim. ARGV[first] is the node; the queues
-- follow after ttl, up to ARGV[last].
local function take(first, last)
  for _, step in ipairs({'', '\6\0223', '\6\0226', '\6\0229'}) do
    for i = first + 5, last or #ARGV do
      local list = P .. 'mq:' .. ARGV[i] .. step
      for _ = 1, 20 do
        local message = redis.call('RPOP', list)
        if not message then break end
        local id = cjson.decode(message).headers.id
        if get(id, 'timeout') ~= '' and get(id, 'timeout') then
          -- Only a message that goes through Celery has its time limit enforced.
          redis.call('RPUSH', list, message)
          return false
        end
        local found = claim(id, ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], ARGV[first + 4])
        if type(found) == 'table' then return found end
      end
    end
  end
  return false
end

local function finish(id, fence, key, ttl)
  if get(id, 'state') == 'done' and get(id, 'fence') == fence then return 1 end
  if not holds(id, fence) then return 0 end
  free(id)
  forget(id)
  redis.call('HSET', job(id), 'result', key, 'finished', now, 'progress', 1)
  redis.call('HDEL', job(id), 'args', 'then')
  move(id, 'done')
  local planned, top = unpack(redis.call('HMGET', job(id), 'key', 'top'))
  for _, parent in ipairs(redis.call('SMEMBERS', P .. 'up:' .. id)) do part_done(parent, planned, key) end
  redis.call('DEL', P .. 'up:' .. id)
  if top == '1' or key ~= planned then redis.call('EXPIRE', job(id), ttl) else redis.call('DEL', job(id)) end
  return 1
end
